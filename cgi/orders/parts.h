/* parts.h: what the files of the orders service share. */
#ifndef ORDERS_PARTS_H
#define ORDERS_PARTS_H

#include "arnova.h"
#include "orders.h"

/* Handlers. */
handler place_order;
handler cancel_order;
handler show_payable;
handler settle_order;

/* Whether a sibling did what it was asked. */
static inline bool succeeded(const struct response *response)
{
	return response->outcome == ANSWERED && response->status < 300 && response->json;
}

/* Sets the parameter reservation_seconds: how long stock is held for an unpaid order. */
void set_reservation_seconds(struct request *request);

/* Charges an order whose stock is held.  charge is the question to payments, as the query
 * place_order gave it; the parameter order_id names the order.  Ends the transaction. */
struct reply charge_order(struct request *request, const char *charge);

/* Asks payments to cancel what it has of the order; reason is "cancelled" or "expired". */
struct response ask_to_cancel(struct request *request, int64_t order_id, const char *reason);

/* Applies the events that came with payments' answer, by the way of those that come alone.
 * False as with fetch(). */
bool take_events(struct request *request, const struct response *response) MUST_USE;

#endif
