/* parts.h: what the files of the payments service share. */
#ifndef PAYMENTS_PARTS_H
#define PAYMENTS_PARTS_H

#include "arnova.h"
#include "payments.h"

/* Handlers. */
handler process_payment;
handler charge_order;
handler cancel_payment;
handler settle_payment;
handler refund_payment;
handler receive_webhook;

/* ---- signature.c: a Stripe-Signature header. ---- */

enum { SIGNATURE_TOLERANCE = 300 };

struct signed_body {
	const char *header; /* NULL: there was none */
	const char *body;
	size_t size;
};

/* Whether the header signs the body with one of the secrets ("a,b"), SIGNATURE_TOLERANCE
 * seconds before or after now at most. */
bool stripe_signature_valid(struct arena *arena, const struct signed_body *message,
                            const char *secrets, int64_t now);

/* ---- verdict.c: what an answer of Stripe's means. ---- */

/* Adds name=value to a form ("" or what was made before); a NULL value is left out. */
const char *form_add(struct arena *arena, const char *form, const char *name,
                     const char *value);

/* outcome, of an intent: succeeded requires_action processing canceled; open (there, and
 * nothing decided); declined; invalid (Stripe refused the parameters).  Of a refund: pending
 * succeeded failed canceled.  Of both: not_done (certainly without effect), refused (our key or
 * permissions), unknown. */
struct verdict {
	const char *outcome;
	const char *ref;      /* of the intent or refund */
	const char *currency; /* in capitals */
	int64_t amount;       /* amount_received or amount, in Stripe's unit */
	const char *code, *decline_code, *message, *parameter;
	const char *client_secret, *next_action; /* next_action is JSON */
	const char *request_id;
	bool is_over; /* however unknown: Stripe will do nothing more under this key */
};
struct verdict judge_intent(struct arena *arena, const struct response *response);
struct verdict judge_refund(struct arena *arena, const struct response *response);

/* The same for one element of a list that was answered: "data[3]". */
struct verdict judge_intent_at(struct arena *arena, const struct response *response,
                               const char *at);
struct verdict judge_refund_at(struct arena *arena, const struct response *response,
                               const char *at);

bool same_outcome(const char *a, const char *b);

/* ---- stripe.c: calls to Stripe. ---- */

const char *stripe_settings_fault(void);
bool stripe_is_live(void);

/* Whether the URL is http:// and leads to this very machine. */
bool is_loopback(const char *url);

/* Repeats under the same key, a few times and for 20 seconds at most.  NOT_SENT (and a 429)
 * only if no try can have had an effect. */
struct stripe_call {
	enum method method;
	const char *path; /* after /v1/ */
	const char *form; /* of a POST; NULL for a GET */
	const char *key;
};
struct response call_stripe(struct request *request, const struct stripe_call *stripe);

/* Looks through a list ("payment_intents?created[gte]=1") for the object whose metadata has
 * this value, newest first.  *at becomes its place, NULL when it is not there.  False: the list
 * could not be read to its end. */
struct wanted {
	const char *path;
	const char *name, *value; /* of the metadata */
};
bool find_at_stripe(struct request *request, const struct wanted *wanted,
                    struct response *response, const char **at);

/* ---- attempt.c and refund.c: carrying out what was begun. ---- */

/* Tells the log that somebody should look at a payment: the row has its order_id and
 * payment_id. */
void alarm_of_payment(struct request *request, const char *message, const struct row *payment);

/* Calls Stripe for an attempt that the caller holds the lock of, and records what came of it.
 * AGAIN: an earlier call may have left it open; repeated under the same key while that is safe
 * and the order is not cancelled, then looked for at Stripe.  False: as with fetch(). */
enum manner {
	FRESH, /* nobody can have called before */
	AGAIN,
	LOOK, /* posts nothing */
};
bool carry_out(struct request *request, int64_t attempt_id, enum manner manner,
               struct verdict *verdict) MUST_USE;
/* The same for an attempt that an earlier call left open. */
bool settle_attempt(struct request *request, int64_t attempt_id) MUST_USE;
/* Asks Stripe what has become of an attempt, and records it if there is an answer. */
bool look_again(struct request *request, const struct row *attempt,
                struct verdict *verdict) MUST_USE;
/* Submits a refund, or asks what has become of it, and records that.  The verdict's outcome
 * becomes the refund's status; unknown while somebody else is at it. */
bool submit_refund(struct request *request, int64_t refund_id,
                   struct verdict *verdict) MUST_USE;

/* ---- charge.c ---- */

/* What the caller's Idempotency-Key (bare or quoted) is called in our tables. */
const char *caller_key(struct request *request);

#endif
