/* place.c: from a basket to an order.  Every step is committed before the next one asks a
 * sibling, and can be taken again: by a retry with the same Idempotency-Key
 * (architecture.md 6.2 to 6.4). */
#include <string.h>

#include "parts.h"

/* The lines to order: the body's or, without any there, the cart's. */
static bool find_lines(struct request *request, const char **lines)
{
	*lines = param(request, "items");
	if (*lines)
		return true;

	struct response cart =
		ask(request, CART, GET, NULL, "carts/%lld", (long long)request->caller.user_id);

	if (!succeeded(&cart))
		return fail(request, reply_from(request, &cart));
	if (!json_raw(request->arena, cart.json, "items[0]"))
		return fail(request, problem_field(request, "items", "The cart is empty."));
	*lines = json_raw(request->arena, cart.json, "items");
	return true;
}

/* Who orders, with the address that is named by its id: the parameter account. */
static bool find_account(struct request *request)
{
	const char *address_id = param(request, "shipping_address_id");
	struct response account = ask(
		request, USERS, GET, NULL, "users/%lld%s%s", (long long)request->caller.user_id,
		address_id ? "?address_id=" : "", address_id ? address_id : "");

	if (account.outcome == ANSWERED && account.status == 404)
		return fail(request, problem(request, "token_not_valid"));
	if (!succeeded(&account))
		return fail(request, reply_from(request, &account));
	set_param(request, "account", account.body);
	return true;
}

/* What the lines cost: the parameters quote and minimum. */
static bool find_prices(struct request *request, const char *lines)
{
	const char *question = arena_printf(request->arena, "{\"items\":%s}", lines);
	struct response quote = ask(request, PRODUCTS, POST, question, "quote");

	if (!succeeded(&quote))
		return fail(request, reply_from(request, &quote));

	const char *code = json_text(request->arena, quote.json, "currency");
	const struct currency *currency = code ? currency_find(code) : NULL;

	set_param(request, "quote", quote.body);
	set_param_int(request, "minimum", currency ? currency->minimum : 0);
	return true;
}

static bool begin(struct request *request)
{
	const char *lines;
	struct row *saga;

	if (!find_lines(request, &lines) || !find_account(request) ||
	    !find_prices(request, lines))
		return false;
	if (!fetch(request, &sql_begin_saga, &saga) || !commit(request))
		return false;
	set_param(request, "order_id", column(saga, "order_id"));
	return true;
}

/* A hold that was refused left nothing behind, if it was asked for but once.  Of an earlier
 * try, which may still arrive, and of any other failure nobody knows: that is undone later on.
 */
static bool give_up(struct request *request, const struct response *response, bool is_first)
{
	const char *code =
		response->json ? json_text(request->arena, response->json, "code") : NULL;
	bool refused = response->outcome == ANSWERED && response->status == 409 && code &&
	               !strcmp(code, "insufficient_stock");
	bool broken = response->outcome != ANSWERED || response->status >= 500;

	set_param(request, "to_state",
	          refused && is_first && !response->repeated ? "undone" : "undoing");
	if (!run(request, &sql_end_saga) || !commit(request))
		return false;
	return fail(request, refused || broken ? reply_from(request, response)
	                                       : problem(request, "upstream_unavailable"));
}

static bool hold(struct request *request, bool is_first)
{
	struct row *saga;

	if (!fetch(request, &sql_get_hold, &saga) || !commit(request))
		return false;

	struct response held =
		ask(request, PRODUCTS, POST, column(saga, "hold"), "reservations");

	return succeeded(&held) || give_up(request, &held, is_first);
}

/* Goes on where an earlier request with this key was killed, or begins. */
static bool take_steps(struct request *request)
{
	struct row *saga;

	if (!fetch(request, &sql_resume_saga, &saga) || !commit(request))
		return false;
	if (!column(saga, "order_id"))
		return begin(request) && hold(request, true);
	set_param(request, "order_id", column(saga, "order_id"));
	return column_is(saga, "state", "placed") || hold(request, false);
}

struct reply place_order(struct request *request)
{
	struct row *placed;

	set_reservation_seconds(request);
	if (!take_steps(request) || !fetch(request, &sql_place_order, &placed))
		return *request->failure;
	/* It took too long, and the hold is being undone: the retry begins anew. */
	if (!column_is(placed, "state", "placed"))
		return problem(request, "upstream_unavailable");
	if (column(placed, "charge"))
		return charge_order(request, column(placed, "charge"));
	if (param(request, "payment_method") && !column_is(placed, "status", "confirmed"))
		return problem(request, "order_not_payable");

	return answer(request, &sql_show_placed);
}
