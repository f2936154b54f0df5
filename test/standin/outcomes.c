/* outcomes.c: what each test payment method leads to. */
#include "standin.h"

#include <string.h>

#define DECLINED "Your card was declined."
#define FUNDS "Your card has insufficient funds."
#define EXPIRED "Your card has expired."
#define CVC "Your card's security code is incorrect."
#define MISHAP "An error occurred while processing your card. Try again in a little bit."
#define ASKS "Your card was declined. This transaction requires authentication."

/* clang-format off */
static const struct outcome outcomes[] = {
	{"",                                SUCCEEDS},
	{"debit",                           SUCCEEDS},
	{"prepaid",                         SUCCEEDS},
	{"createDispute",                   SUCCEEDS, .disputed = true},
	{"refundFail",                      SUCCEEDS, .refund = REFUND_FAILS},
	{"pendingRefund",                   SUCCEEDS, .refund = REFUND_PENDS},
	{"processing",                      PROCESSES},
	{"authenticationRequired",          AUTHENTICATES},
	{"authenticationRequiredOnSetup",   SUCCEEDS},
	{"threeDSecure2Required",           AUTHENTICATES},
	{"threeDSecureRequired",            AUTHENTICATES},
	{"chargeDeclined",                  DECLINES, "card_declined", "generic_decline", DECLINED},
	{"chargeCustomerFail",              DECLINES, "card_declined", "generic_decline", DECLINED},
	{"chargeDeclinedInsufficientFunds", DECLINES, "card_declined", "insufficient_funds", FUNDS},
	{"chargeDeclinedLostCard",          DECLINES, "card_declined", "lost_card", DECLINED},
	{"chargeDeclinedStolenCard",        DECLINES, "card_declined", "stolen_card", DECLINED},
	{"chargeDeclinedFraudulent",        DECLINES, "card_declined", "fraudulent", DECLINED},
	{"chargeDeclinedExpiredCard",       DECLINES, "expired_card", NULL, EXPIRED},
	{"chargeDeclinedIncorrectCvc",      DECLINES, "incorrect_cvc", NULL, CVC},
	{"chargeDeclinedProcessingError",   DECLINES, "processing_error", NULL, MISHAP},
};
/* clang-format on */

const struct outcome authentication_required = {"authenticationRequired", DECLINES,
                                                "authentication_required",
                                                "authentication_required", ASKS};

const struct outcome authentication_failed = {
	"authenticationFailed", DECLINES, "payment_intent_authentication_failure", NULL,
	"The provided payment method has failed authentication."};

const struct outcome failed_later = {"failedLater", DECLINES, "card_declined",
                                     "generic_decline", DECLINED};

static const char *const brands[] = {"visa",   "mastercard", "amex",     "discover",
                                     "diners", "jcb",        "unionpay", "us"};

const struct outcome *find_outcome(const char *payment_method)
{
	const char *name = payment_method;

	if (!starts_with(name, "pm_card_"))
		return table_find(&methods, name);
	name += strlen("pm_card_");
	if (!*name)
		return NULL;
	for (size_t i = 0; i < COUNT(brands); i++) {
		size_t length = strlen(brands[i]);

		if (starts_with(name, brands[i]) && (!name[length] || name[length] == '_')) {
			name += length + (name[length] == '_' && name[length + 1]);
			break;
		}
	}
	for (size_t i = 0; i < COUNT(outcomes); i++)
		if (strcmp(outcomes[i].name, name) == 0)
			return &outcomes[i];
	return NULL;
}
