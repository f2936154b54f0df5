// drive.js: Stripe's official client against the stand-in, one scenario a run.
//
//   node drive.js SCENARIO      with STANDIN, the stand-in's address, in the environment
'use strict';

const assert = require('node:assert/strict');
const Stripe = require('stripe');

const standin = new URL(process.env.STANDIN);
const webhookSecret = 'whsec_test_secret';

// With no retries at all it would send no key of its own.
const client = (options) => new Stripe('sk_test_standin', {
	host: standin.hostname, port: standin.port, protocol: 'http',
	maxNetworkRetries: 1, timeout: 10000, telemetry: false, ...options,
});
const stripe = client();
const hasty = client({maxNetworkRetries: 0});

const payment = (method, more) => ({
	amount: 1999, currency: 'usd', confirm: true, payment_method: method,
	automatic_payment_methods: {enabled: true, allow_redirects: 'never'},
	metadata: {order_id: '42'}, ...more,
});
const pay = (method, more, options) =>
	stripe.paymentIntents.create(payment(method, more), options);

// ---- The stand-in's own paths.

const control = async (path, body) => {
	const answer = await fetch(new URL(`/_fake/${path}`, standin), body === undefined
		? {} : {method: 'POST', body: JSON.stringify(body)});

	assert.equal(answer.status, 200, path);
	return answer.json();
};
const strike = (what, match = {}) => control('scenario', {rules: [{match, do: what}]});
const entries = async (kind) =>
	(await control('ledger')).entries.filter((entry) => entry.kind === kind);
const received = async () => (await entries('received')).filter((entry) => entry.method === 'POST');

const raised = async (promise, type, expected = {}) => {
	let error = null;

	await promise.catch((caught) => { error = caught; });
	assert.ok(error, `${type} was not raised`);
	assert.equal(error.type, type, error.stack);
	assert.ok(error instanceof Stripe.errors[type]);
	for (const [name, value] of Object.entries(expected))
		assert.equal(error[name], value, `${name} of ${error.message}`);
	return error;
};

const waitFor = async (what, condition) => {
	for (let tries = 0; tries < 200; tries++) {
		const found = await condition();

		if (found)
			return found;
		await new Promise((resolve) => { setTimeout(resolve, 50); });
	}
	throw new Error(`waited in vain for ${what}`);
};

// ---- Scenarios.

const scenarios = {
	async succeed() {
		const intent = await pay('pm_card_visa', {expand: ['latest_charge']});

		assert.equal(intent.status, 'succeeded');
		assert.equal(intent.amount_received, 1999);
		assert.equal(intent.latest_charge.payment_intent, intent.id);
		assert.match(intent.lastResponse.requestId, /^req_/);
		assert.equal(intent.lastResponse.apiVersion, '2026-07-29.dahlia');
		assert.ok(intent.lastResponse.idempotencyKey);

		const again = await stripe.paymentIntents.retrieve(intent.id);
		const charge = await stripe.charges.retrieve(again.latest_charge);

		assert.equal(again.metadata.order_id, '42');
		assert.deepEqual([charge.paid, charge.captured, charge.amount], [true, true, 1999]);
	},

	async decline() {
		const declines = {
			pm_card_visa_chargeDeclined: ['card_declined', 'generic_decline'],
			pm_card_chargeDeclinedInsufficientFunds: ['card_declined', 'insufficient_funds'],
			pm_card_visa_chargeDeclinedLostCard: ['card_declined', 'lost_card'],
			pm_card_visa_chargeDeclinedStolenCard: ['card_declined', 'stolen_card'],
			pm_card_chargeDeclinedExpiredCard: ['expired_card', ''],
			pm_card_chargeDeclinedIncorrectCvc: ['incorrect_cvc', ''],
			pm_card_chargeDeclinedProcessingError: ['processing_error', ''],
			pm_card_chargeCustomerFail: ['card_declined', 'generic_decline'],
		};

		for (const [method, [code, decline_code]] of Object.entries(declines)) {
			const error = await raised(pay(method), 'StripeCardError',
				{statusCode: 402, code, decline_code});

			assert.equal(error.payment_intent.object, 'payment_intent');
			assert.equal(error.payment_intent.status, 'requires_payment_method');
			assert.equal(error.payment_intent.last_payment_error.code, code);
			assert.equal(error.charge, error.payment_intent.latest_charge);
		}

		const {payment_intent: {id}} = await raised(pay('pm_card_chargeDeclined'), 'StripeCardError');
		const intent = await stripe.paymentIntents.confirm(id, {payment_method: 'pm_card_visa'});

		assert.deepEqual([intent.id, intent.status], [id, 'succeeded']);
	},

	async authenticate() {
		const intent = await pay('pm_card_authenticationRequired');

		assert.equal(intent.status, 'requires_action');
		assert.equal(intent.next_action.type, 'use_stripe_sdk');
		await control('authenticate', {payment_intent: intent.id, result: 'ok'});
		assert.equal((await stripe.paymentIntents.retrieve(intent.id)).status, 'succeeded');

		const other = await pay('pm_card_threeDSecure2Required');

		await control('authenticate', {payment_intent: other.id, result: 'fail'});
		const failed = await stripe.paymentIntents.retrieve(other.id);
		assert.equal(failed.status, 'requires_payment_method');
		assert.equal(failed.last_payment_error.code, 'payment_intent_authentication_failure');
		const paid = await stripe.paymentIntents.confirm(other.id, {payment_method: 'pm_card_visa'});
		assert.equal(paid.status, 'succeeded');
		await raised(pay('pm_card_authenticationRequired', {off_session: true}), 'StripeCardError',
			{code: 'authentication_required'});
	},

	async replay() {
		const key = {idempotencyKey: 'one'};
		const first = await pay('pm_card_visa', {}, key);
		const second = await pay('pm_card_visa', {}, key);

		assert.equal(second.id, first.id);
		assert.equal(second.lastResponse.headers['idempotent-replayed'], 'true');
		assert.equal(second.lastResponse.headers['original-request'], first.lastResponse.requestId);
		assert.equal((await entries('executed')).length, 1);
		await raised(pay('pm_card_mastercard', {}, key), 'StripeIdempotencyError', {statusCode: 400});

		const declined = () => pay('pm_card_chargeDeclined', {}, {idempotencyKey: 'two'});
		const one = await raised(declined(), 'StripeCardError');
		const two = await raised(declined(), 'StripeCardError');
		assert.equal(two.payment_intent.id, one.payment_intent.id);
		assert.equal(two.headers['idempotent-replayed'], 'true');
	},

	async in_use() {
		const key = {idempotencyKey: 'one'};

		await strike({fault: 'latency', ms: 1500, when: 'before'}, {method: 'POST'});
		const slow = pay('pm_card_visa', {}, key);
		await waitFor('the first request', async () => (await received()).length === 1);
		await raised(hasty.paymentIntents.create(payment('pm_card_visa'), key), 'StripeAPIError',
			{statusCode: 409, code: 'idempotency_key_in_use'});
		/* A client that may retry waits for the first to end and gets its answer. */
		const patient = await client({maxNetworkRetries: 5})
			.paymentIntents.create(payment('pm_card_visa'), key);
		assert.equal(patient.id, (await slow).id);
		assert.equal((await entries('executed')).length, 1);
	},

	async limits() {
		const retrying = client({maxNetworkRetries: 2});
		const limited = (code) => raised(
			retrying.paymentIntents.create(payment('pm_card_visa')), 'StripeRateLimitError',
			{statusCode: 429, code});

		await strike({fault: 'status', status: 429, retry_after: 1});
		assert.equal((await limited('rate_limit')).headers['retry-after'], '1');
		await strike({fault: 'status', status: 429, code: 'lock_timeout'});
		await limited('lock_timeout');
		assert.equal((await received()).length, 2, 'a 429 is not sent again');
		await strike({fault: 'status', status: 429, code: 'lock_timeout', should_retry: 'true'});
		const intent = await retrying.paymentIntents.create(payment('pm_card_visa'));
		assert.equal(intent.status, 'succeeded');
		assert.equal((await received()).length, 4, 'unless it says so');
	},

	async retries() {
		const retrying = client({maxNetworkRetries: 2});
		const faults = [
			{fault: 'status', status: 409}, {fault: 'status', status: 503},
			{fault: 'status', status: 503, effect: true}, {fault: 'html502'},
			{fault: 'reset', when: 'before_read'}, {fault: 'reset', when: 'before'},
			{fault: 'reset', when: 'after'}, {fault: 'half_headers'},
		];

		for (const fault of faults) {
			await control('reset', {});
			await strike(fault, {method: 'POST'});
			const intent = await retrying.paymentIntents.create(payment('pm_card_visa'));
			const tries = await received();
			assert.equal(intent.status, 'succeeded');
			assert.equal(tries.length, 2, JSON.stringify(fault));
			assert.equal(tries[0].idempotency_key, tries[1].idempotency_key);
			assert.equal((await entries('executed')).length, 1, JSON.stringify(fault));
		}
		await control('reset', {});
		await strike({fault: 'status', status: 500, effect: true, should_retry: 'false'});
		await raised(retrying.paymentIntents.create(payment('pm_card_visa')), 'StripeAPIError',
			{statusCode: 500});
		assert.equal((await received()).length, 1, 'told not to retry');
		await strike({fault: 'broken_json'});
		await raised(pay('pm_card_visa'), 'StripeAPIError');
		await strike({fault: 'empty'});
		await raised(pay('pm_card_visa'), 'StripeAPIError');
	},

	/* The client keeps its connections; these die under it, or the whole host goes. */
	async connections() {
		await strike({fault: 'idle_close'}, {method: 'POST'});
		const first = await pay('pm_card_visa');
		const second = await pay('pm_card_visa');
		assert.equal(second.status, 'succeeded');
		assert.notEqual(second.id, first.id);
		const tries = await received();
		assert.deepEqual(tries.map((entry) => entry.detail ?? null), [null, 'unread', null]);
		assert.equal(tries[1].idempotency_key, tries[2].idempotency_key);

		await control('refuse', {ms: 700});
		await raised(hasty.paymentIntents.list(), 'StripeConnectionError');
		await waitFor('the listener', () => control('ledger').catch(() => false));
		assert.equal((await pay('pm_card_visa')).status, 'succeeded');
		await strike({fault: 'black_hole'});
		const began = Date.now();
		await raised(client({maxNetworkRetries: 0, timeout: 500}).paymentIntents.list(),
			'StripeConnectionError');
		assert.ok(Date.now() - began < 5000);
	},

	async lists() {
		const made = [];

		for (let i = 0; i < 25; i++)
			made.unshift((await stripe.paymentIntents.create(
				{amount: 100 + i, currency: 'usd', customer: `cus_${i % 2}`})).id);
		const seen = [];
		for await (const intent of stripe.paymentIntents.list({limit: 10}))
			seen.push(intent.id);
		assert.deepEqual(seen, made);
		assert.equal((await received()).length, 25);
		const odd = await stripe.paymentIntents.list({customer: 'cus_1', limit: 3, created: {gte: 1}})
			.autoPagingToArray({limit: 100});
		assert.deepEqual(odd.map((intent) => intent.id), made.filter((id, i) => i % 2));
		const newer = await stripe.paymentIntents.list({ending_before: made[5], limit: 2});
		assert.deepEqual([newer.has_more, ...newer.data.map((intent) => intent.id)],
			[true, made[3], made[4]]);
		const page = await stripe.paymentIntents.list({limit: 1, expand: ['data.payment_method']});
		assert.equal(page.data[0].payment_method, null);
	},

	async cancel() {
		const intent = await stripe.paymentIntents.create({amount: 1999, currency: 'usd'});
		const ended = await stripe.paymentIntents.cancel(intent.id, {cancellation_reason: 'abandoned'});

		assert.deepEqual([ended.status, ended.cancellation_reason], ['canceled', 'abandoned']);
		const error = await raised(stripe.paymentIntents.cancel(intent.id),
			'StripeInvalidRequestError', {statusCode: 400, code: 'payment_intent_unexpected_state'});
		assert.equal(error.payment_intent.status, 'canceled');

		await control('scenario', {settle_ms: -1});
		const slow = await pay('pm_card_processing');
		assert.equal(slow.status, 'processing');
		await raised(stripe.paymentIntents.cancel(slow.id), 'StripeInvalidRequestError',
			{code: 'payment_intent_unexpected_state'});
		await control('settle', {payment_intent: slow.id, result: 'succeeded'});
		assert.equal((await stripe.paymentIntents.retrieve(slow.id)).status, 'succeeded');
	},

	async capture() {
		const held = await pay('pm_card_visa', {capture_method: 'manual'});

		assert.deepEqual([held.status, held.amount_capturable, held.amount_received],
			['requires_capture', 1999, 0]);
		const taken = await stripe.paymentIntents.capture(held.id, {amount_to_capture: 1500});
		assert.deepEqual([taken.status, taken.amount_received], ['succeeded', 1500]);
		await raised(stripe.paymentIntents.capture(held.id), 'StripeInvalidRequestError',
			{code: 'payment_intent_unexpected_state'});
	},

	async refunds() {
		const {id: payment_intent, latest_charge: charge} = await pay('pm_card_visa');
		const part = await stripe.refunds.create(
			{payment_intent, amount: 500, reason: 'requested_by_customer'});

		assert.deepEqual([part.status, part.amount, part.charge], ['succeeded', 500, charge]);
		await raised(stripe.refunds.create({payment_intent, amount: 1500}),
			'StripeInvalidRequestError', {statusCode: 400, param: 'amount'});
		const rest = await stripe.refunds.create({charge});
		assert.equal(rest.amount, 1499);
		await raised(stripe.refunds.create({payment_intent}), 'StripeInvalidRequestError',
			{code: 'charge_already_refunded'});
		const listed = await stripe.refunds.list({payment_intent});
		assert.deepEqual(listed.data.map((refund) => refund.id), [rest.id, part.id]);

		await control('scenario', {settle_ms: -1});
		const failing = await stripe.refunds.create(
			{payment_intent: (await pay('pm_card_refundFail')).id});
		await control('settle', {refund: failing.id, result: 'failed', reason: 'lost_or_stolen_card'});
		const failed = await stripe.refunds.retrieve(failing.id);
		assert.deepEqual([failed.status, failed.failure_reason], ['failed', 'lost_or_stolen_card']);
		const waiting = await stripe.refunds.create(
			{payment_intent: (await pay('pm_card_pendingRefund')).id});
		assert.equal(waiting.status, 'pending');
	},

	async mistakes() {
		await raised(stripe.paymentIntents.retrieve('pi_none'), 'StripeInvalidRequestError',
			{statusCode: 404, code: 'resource_missing', param: 'intent'});
		await raised(stripe.paymentIntents.create({amount: 20, currency: 'usd'}),
			'StripeInvalidRequestError', {code: 'amount_too_small', param: 'amount'});
		await raised(pay('pm_card_vica'), 'StripeInvalidRequestError',
			{code: 'resource_missing', param: 'payment_method'});
		assert.equal((await control('violations')).count, 0);
		await raised(stripe.paymentIntents.create({amount: 100}), 'StripeInvalidRequestError',
			{code: 'parameter_missing', param: 'currency'});
		await raised(pay('pm_card_visa', {colour: 'red'}), 'StripeInvalidRequestError',
			{code: 'parameter_unknown', param: 'colour'});
		await raised(new Stripe('sk_test_other', {host: standin.hostname, port: standin.port,
			protocol: 'http', maxNetworkRetries: 0}).paymentIntents.list(),
		'StripeAuthenticationError', {statusCode: 401});
		assert.deepEqual((await control('violations')).violations.map((entry) => entry.detail), [
			'parameter_missing: currency', 'parameter_unknown: colour', 'another key in Authorization',
		]);
	},

	/* What the stand-in signs, the client takes, and nothing else. */
	async signatures() {
		const sunk = async (scenario) => {
			const before = (await control('sink')).received.length;

			await control('scenario', {webhooks: scenario});
			const intent = await pay('pm_card_visa', {description: 'Käse & Brot'});
			const {received: all} = await waitFor('an event', async () => {
				const sink = await control('sink');
				return sink.received.length > before && sink;
			});
			return {intent, ...all[before]};
		};
		const read = (event, body = event.body) =>
			stripe.webhooks.constructEvent(body, event.signature, webhookSecret);
		const refused = (event, body) => assert.throws(() => read(event, body),
			Stripe.errors.StripeSignatureVerificationError);

		const good = await sunk({});
		const event = read(good);
		assert.deepEqual([event.type, event.data.object.id, event.data.object.description],
			['payment_intent.succeeded', good.intent.id, 'Käse & Brot']);
		refused(good, `${good.body} `);
		refused(await sunk({wrong_secret: true}));
		refused(await sunk({stale: true}));
		const rotated = await sunk({rotated: true});
		assert.equal(read(rotated).data.object.id, rotated.intent.id);
		assert.equal(read(await sunk({livemode: true})).livemode, true);
	},

	/* What the client signs, Arnova's endpoint takes, and nothing else. */
	async endpoint() {
		const secret = process.env.WEBHOOK_SECRET;
		const post = (payload, signature) => fetch(process.env.WEBHOOK_URL, {
			method: 'POST', body: payload,
			headers: {'Content-Type': 'application/json', 'Stripe-Signature': signature},
		}).then((answer) => answer.status);
		const payload = JSON.stringify({
			id: `evt_sdk${Date.now()}`, object: 'event', api_version: '2026-07-29.dahlia',
			created: Math.floor(Date.now() / 1000), livemode: false, pending_webhooks: 1,
			request: {id: null, idempotency_key: null}, type: 'payment_intent.succeeded',
			data: {object: {id: `pi_sdk${Date.now()}`, object: 'payment_intent', amount: 1999,
				amount_received: 1999, currency: 'usd', status: 'succeeded', livemode: false,
				metadata: {}, description: 'é😀'}},
		}, null, 2);
		const sign = (options) =>
			stripe.webhooks.generateTestHeaderString({payload, secret, ...options});
		const now = Math.floor(Date.now() / 1000);

		assert.equal(await post(payload, sign()), 200);
		assert.equal(await post(payload, sign()), 200, 'once more');
		assert.equal(await post(`${payload} `, sign()), 400);
		assert.equal(await post(payload, sign({secret: `${secret}x`})), 400);
		assert.equal(await post(payload, sign({timestamp: now - 310})), 400);
		assert.equal(await post(payload, sign({timestamp: now - 200})), 200);
		assert.equal(await post(payload, sign({scheme: 'v0'})), 400);
		const other = sign({secret: 'whsec_rolled', timestamp: now}).split(',')[1];
		assert.equal(await post(payload, `${sign({timestamp: now})},${other}`), 200);
	},
};

const name = process.argv[2];

if (!Object.hasOwn(scenarios, name))
	throw new Error(`scenarios: ${Object.keys(scenarios).join(' ')}`);
/* Connections that are still open would hold the program up. */
scenarios[name]().then(() => process.exit(0), (error) => {
	console.error(error);
	process.exit(1);
});
