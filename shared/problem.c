/* problem.c: every error that a client may see, and its form (RFC 9457). */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "internal.h"

struct problem {
	const char *code; /* for programs; never changes */
	int status;
	const char *title;
	const char *detail; /* Django REST framework's text where it has one */
};

/* clang-format off */
static const struct problem problems[] = {
	{"parse_error",              400, "Malformed request",         "JSON parse error."},
	{"invalid",                  400, "Invalid input",             "Invalid input."},
	{"amount_too_large",         400, "Amount too large",          "The total is above the largest amount that can be charged."},
	{"amount_too_small",         400, "Amount too small",          "The total is below the smallest amount that can be charged."},
	{"card_number_refused",      400, "Card number refused",       "Card numbers are not accepted here."},
	{"idempotency_key_required", 400, "Idempotency-Key required",  "This request needs an Idempotency-Key header of 16 to 255 characters."},
	{"bad_signature",            400, "Bad signature",             "The signature does not match."},
	{"not_authenticated",        401, "Not authenticated",         "Authentication credentials were not provided."},
	{"token_not_valid",          401, "Token not valid",           "Given token not valid for any token type"},
	{"no_active_account",        401, "No active account",         "No active account found with the given credentials"},
	{"card_declined",            402, "Card declined",             "The card was declined."},
	{"permission_denied",        403, "Permission denied",         "You do not have permission to perform this action."},
	{"not_found",                404, "Not found",                 "Not found."},
	{"method_not_allowed",       405, "Method not allowed",        "Method not allowed."},
	{"not_acceptable",           406, "Not acceptable",            "Could not satisfy the request Accept header."},
	{"addresses_full",           409, "Addresses full",            "An account holds at most 100 addresses."},
	{"cart_full",                409, "Cart full",                 "A cart holds at most 100 different items."},
	{"category_cycle",           409, "Category cycle",            "A category cannot stand below itself."},
	{"category_in_use",          409, "Category in use",           "The category still has products or children."},
	{"email_taken",              409, "E-mail taken",              "A user with that email already exists."},
	{"idempotency_key_in_use",   409, "Idempotency-Key in use",    "A request with this Idempotency-Key is still running."},
	{"insufficient_stock",       409, "Insufficient stock",        "Not enough in stock."},
	{"invalid_transition",       409, "Invalid transition",        "The current state does not allow this."},
	{"not_refundable",           409, "Not refundable",            "There is nothing to refund on this payment."},
	{"order_not_payable",        409, "Order not payable",         "This order cannot be paid."},
	{"payment_in_progress",      409, "Payment in progress",       "The outcome of an earlier attempt to pay is still open."},
	{"price_changed",            409, "Price changed",             "The total differs from the expected total."},
	{"product_has_stock",        409, "Product has stock",         "A product that has stock or reservations cannot get its first variant."},
	{"quantity_exceeded",        409, "Quantity exceeded",         "More than is left to ship."},
	{"quantity_too_large",       409, "Quantity too large",        "A line holds at most 1000000 of an item."},
	{"reservation_released",     409, "Reservation released",      "The reservation was released before."},
	{"review_taken",             409, "Review taken",              "You have reviewed this product already."},
	{"saved_items_full",         409, "Saved items full",          "An account holds at most 1000 saved items."},
	{"sku_taken",                409, "SKU taken",                 "A product with that sku already exists."},
	{"slug_taken",               409, "Slug taken",                "That slug is taken."},
	{"username_taken",           409, "Username taken",            "A user with that username already exists."},
	{"variant_sku_taken",        409, "SKU taken",                 "A variant with that sku already exists."},
	{"precondition_failed",      412, "Precondition failed",       "The resource has changed."},
	{"too_large",                413, "Too large",                 "The request body is larger than 1 MiB."},
	{"unsupported_media_type",   415, "Unsupported media type",    "Unsupported media type in request."},
	{"idempotency_key_reused",   422, "Idempotency-Key reused",    "This Idempotency-Key was used with another body."},
	{"refund_exceeds_captured",  422, "Refund exceeds captured",   "The refund is larger than what is left of the payment."},
	{"internal_error",           500, "Internal error",            "A server error occurred."},
	{"payment_provider_error",   502, "Payment provider error",    "The payment provider refused the request."},
	{"contended",                503, "Contended",                 "Too many requests want to change the same thing, try again."},
	{"upstream_unavailable",     503, "Temporarily unavailable",   "The service is temporarily unavailable, try again later."},
	{"deadline_exceeded",        504, "Deadline exceeded",         "The request took too long."},
};
/* clang-format on */

static const struct problem *find(const char *code)
{
	for (size_t i = 0; i < COUNT(problems); i++)
		if (!strcmp(problems[i].code, code))
			return &problems[i];
	return NULL;
}

/* "order_total_mismatch" as "Order total mismatch": for constraints that have no row above. */
static const char *title_of(struct arena *arena, const char *code)
{
	char *title = arena_copy(arena, code, strlen(code));

	for (char *c = title; *c; c++)
		if (*c == '_')
			*c = ' ';
	*title = (char)toupper((unsigned char)*title);
	return title;
}

static const char *with_hyphens(struct arena *arena, const char *code)
{
	char *name = arena_copy(arena, code, strlen(code));

	for (char *c = name; *c; c++)
		if (*c == '_')
			*c = '-';
	return name;
}

static struct reply write_problem(struct request *request, const struct problem *problem,
                                  const char *members)
{
	struct arena *arena = request->arena;
	const char *code = problem->code;
	int status = problem->status;

	if (status == 401)
		reply_header(request, "WWW-Authenticate", "Bearer");
	if (status == 503 || !strcmp(code, "idempotency_key_in_use"))
		reply_header(request, "Retry-After", "1");
	return reply_json(
		status,
		arena_printf(
			arena,
			"{\"type\":\"https://arnova.dev/problems/%s\",\"title\":%s,"
			"\"status\":%d,\"detail\":%s,\"code\":\"%s\",\"request_id\":%s%s%s}",
			with_hyphens(arena, code), json_quote(arena, problem->title), status,
			json_quote(arena, problem->detail), code,
			json_quote(arena, request->id), *members ? "," : "", members));
}

struct reply problem_status(struct request *request, int status, const char *code,
                            const char *members)
{
	const struct problem *known = find(code);
	const char *title = known ? known->title : title_of(request->arena, code);
	struct problem problem = {code, status, title, known ? known->detail : title};

	return write_problem(request, &problem, members);
}

struct reply problem_saying(struct request *request, const char *code, const char *detail)
{
	const struct problem *known = find(code);

	assert(known);

	struct problem problem = {code, known->status, known->title, detail};

	return write_problem(request, &problem, "");
}

struct reply problem_with(struct request *request, const char *code, const char *members)
{
	const struct problem *known = find(code);

	assert(known);
	return problem_status(request, known->status, code, members);
}

struct reply problem(struct request *request, const char *code)
{
	return problem_with(request, code, "");
}

struct reply problem_errors(struct request *request, const struct errors *errors)
{
	return problem_with(
		request, "invalid",
		arena_printf(request->arena, "\"errors\":{%s}", errors->text.bytes));
}

struct reply problem_field(struct request *request, const char *field, const char *message)
{
	struct errors errors = {.text.arena = request->arena};

	errors_add(&errors, field, message);
	return problem_errors(request, &errors);
}
