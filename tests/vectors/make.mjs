// Computes tests/vectors/providers.json: requests for providers that publish few vectors, signed by Node's own crypto from
// the facts in each provider's page, and the same requests spoilt. Run it again after a change: node tests/vectors/make.mjs
import { createHash, createHmac, generateKeyPairSync, sign } from "node:crypto";
import { writeFileSync } from "node:fs";

const NOW = 1700000000;
const vectors = [];
const hmac = (key, text, encoding = "hex", algorithm = "sha256") => createHmac(algorithm, key).update(text).digest(encoding);
const b64 = (text) => Buffer.from(text).toString("base64");
const b64url = (text) => Buffer.from(text).toString("base64url");

function push(provider, name, source, request, valid, expect) {
  const { config, method = "POST", url = null, headers = {}, body = "", now = NOW } = request;
  const vector = { provider, name, source, origin: "computed", config, method, url, headers, valid, body, now };
  if (expect) vector.expect = expect;
  vectors.push(vector);
}

// A provider: what a source is configured with, its genuine requests, and how each is spoilt.
function provider(name, source, { good, bad }) {
  for (const [title, request, expect] of good) push(name, title, source, request, true, expect);
  for (const [title, request, expect] of bad) push(name, title, source, request, false, expect);
}

// What every scheme with one signature header must refuse, made from one genuine request.
function spoilt(request, { header, otherSecret, time, tolerance = 300 }) {
  const value = request.headers[header];
  const without = Object.fromEntries(Object.entries(request.headers).filter(([key]) => key !== header));
  const list = [
    ["wrong secret", { ...request, config: otherSecret }],
    ["altered body", { ...request, body: `${request.body} ` }],
    ["missing header", { ...request, headers: without }],
    ["empty header", { ...request, headers: { ...request.headers, [header]: "" } }],
    ["doubled header, both forged", {
      ...request, headers: { ...request.headers, [header]: [forged(value), forged(value)] },
    }],
    ["cut signature", { ...request, headers: { ...request.headers, [header]: value.slice(0, -8) } }],
  ];
  if (time) {
    list.push(["stale", { ...request, now: (request.now ?? NOW) + tolerance + 1 }]);
    list.push(["from the future", { ...request, now: (request.now ?? NOW) - tolerance - 1 }]);
  }
  return list;
}

const forged = (value) => value.replace(/[0-9a-zA-Z+/]{20,}={0,2}/g, (text) => [...text].map((c) => (c === "A" ? "B" : c === "0" ? "1" : "=" === c ? "=" : /[0-9a-f]/.test(c) ? "0" : "A")).join(""));

const json = (headers = {}) => ({ "Content-Type": "application/json", ...headers });

// --- GitHub
{
  const config = { secrets: ["It's a Secret to Everybody"] };
  const make = (body, headers = {}) => ({
    config, body, headers: json({ "X-Hub-Signature-256": `sha256=${hmac(config.secrets[0], body)}`, ...headers }),
  });
  const ping = '{"zen":"Design for failure.","hook_id":109948940}';
  const good = make('{"action":"opened","installation":{"id":7},"repository":{"id":1296269}}', { "X-GitHub-Event": "pull_request", "X-GitHub-Delivery": "d-1" });
  provider("github", "GitHub: Validating webhook deliveries", {
    good: [
      ["event with an action", good, { event_id: "d-1", event_type: "pull_request.opened", tenant_key: "7" }],
      ["ping is a handshake", make(ping, { "X-GitHub-Event": "ping", "X-GitHub-Delivery": "d-2" }), { response_status: 200, response_body: "" }],
      ["form-encoded hook, signed as it was sent", { ...make("payload=%7B%22action%22%3A%22x%22%7D", { "X-GitHub-Event": "push", "X-GitHub-Delivery": "d-3" }) }, { event_id: "d-3", event_type: "push" }],
    ],
    bad: spoilt(good, { header: "X-Hub-Signature-256", otherSecret: { secrets: ["other"] } }),
  });
}

// --- Shopify
{
  const config = { secrets: ["hush"] };
  const make = (body, headers = {}) => ({ config, body, headers: json({ "X-Shopify-Hmac-Sha256": hmac("hush", body, "base64"), ...headers }) });
  const good = make('{"id":1}', { "X-Shopify-Topic": "orders/create", "X-Shopify-Webhook-Id": "w-1", "X-Shopify-Shop-Domain": "a.myshopify.com", "X-Shopify-Triggered-At": "2023-11-14T22:13:20.5Z" });
  provider("shopify", "Shopify: Verify webhook deliveries", {
    good: [
      ["order", good, { event_id: "w-1", event_type: "orders/create", tenant_key: "a.myshopify.com" }],
      ["newer header family", { config, body: "{}", headers: json({ "shopify-hmac-sha256": hmac("hush", "{}", "base64"), "shopify-topic": "orders/paid", "shopify-webhook-id": "w-2" }) }, { event_id: "w-2", event_type: "orders/paid" }],
      ["empty body", make(""), {}],
      ["second of two secrets", { ...make("[]"), config: { secrets: ["old", "hush"] } }, {}],
    ],
    bad: [
      ...spoilt(good, { header: "X-Shopify-Hmac-Sha256", otherSecret: { secrets: ["other"] } }),
      ["hex for base64", { ...good, headers: { ...good.headers, "X-Shopify-Hmac-Sha256": hmac("hush", good.body) } }],
    ],
  });
}

// --- Slack
{
  const secret = "8f742231b10e8888abcd99yyyzzz85a5";
  const config = { secrets: [secret] };
  const make = (body, headers = {}, t = NOW, version = "v0") => ({
    config, body, headers: { "X-Slack-Request-Timestamp": `${t}`, "X-Slack-Signature": `${version}=${hmac(secret, `${version}:${t}:${body}`)}`, ...headers },
  });
  const event = '{"token":"x","team_id":"T1","api_app_id":"A1","event":{"type":"app_mention","text":"hi"},"type":"event_callback","event_id":"Ev1","event_time":1700000000}';
  const good = make(event);
  provider("slack", "Slack: Events API; Verifying requests from Slack", {
    good: [
      ["event", good, { event_id: "Ev1", event_type: "app_mention", tenant_key: "T1" }],
      ["url_verification is answered with the challenge", make('{"token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}'), { response_status: 200, response_body: "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", response_content_type: "text/plain" }],
      ["ssl_check is acknowledged and no event", make("ssl_check=1&token=x"), { event_ids: [] }],
      ["a retry header makes no duplicate", make(event, { "X-Slack-Retry-Num": "1" }), { event_id: "Ev1" }],
      ["interaction in a form", make(`payload=${encodeURIComponent('{"type":"block_actions","trigger_id":"12.34","team":{"id":"T2"}}')}`), { event_id: "12.34", event_type: "interactive.block_actions", tenant_key: "T2" }],
      ["app_rate_limited has no inner event", make('{"type":"app_rate_limited","team_id":"T1"}'), { event_type: "app_rate_limited" }],
    ],
    bad: [
      ...spoilt(good, { header: "X-Slack-Signature", otherSecret: { secrets: ["8f742231b10e8888abcd99yyyzzz85a6"] }, time: true }),
      ["unsigned url_verification", { config, body: '{"challenge":"x","type":"url_verification"}', headers: json() }],
      ["a challenge with mark-up in it", make('{"challenge":"<script>","type":"url_verification"}'), { response_status: 403 }],
      ["no time", { ...good, headers: { "X-Slack-Signature": good.headers["X-Slack-Signature"] } }],
      ["time with an exponent", make(event, { "X-Slack-Request-Timestamp": "17e8" })],
    ],
  });
}

// --- Linear
{
  const config = { secrets: ["lin_wh_abc"] };
  const make = (body, headers = {}) => ({ config, body, headers: json({ "Linear-Signature": hmac("lin_wh_abc", body), "Linear-Delivery": "l-1", ...headers }) });
  const good = make(`{"action":"update","type":"Issue","createdAt":"2023-11-14T22:13:20.000Z","organizationId":"org","webhookTimestamp":${NOW}000}`);
  provider("linear", "Linear: Webhooks", {
    good: [
      ["issue", good, { event_id: "l-1", event_type: "Issue.update", tenant_key: "org" }],
      ["the edge of the default minute", { ...good, now: NOW + 60 }, {}],
      ["six hours late with a tolerance of 25200", { ...good, config: { ...config, tolerance: 25200 }, now: NOW + 21600 }, {}],
    ],
    bad: [
      ...spoilt(good, { header: "Linear-Signature", otherSecret: { secrets: ["lin_wh_abd"] }, time: true, tolerance: 60 }),
      ["no time at all", make('{"action":"create","type":"Issue"}')],
      ["time in an unsigned header alone", make('{"action":"create","type":"Issue"}', { "Linear-Timestamp": `${NOW}000` })],
      ["seconds for milliseconds", make(`{"action":"create","type":"Issue","webhookTimestamp":${NOW}}`)],
    ],
  });
}

// --- Zendesk
{
  const config = { secrets: ["c2VjcmV0LW9mLWEtd2ViaG9vaw=="], tolerance: 300 };
  const time = "2023-11-14T22:13:20Z";
  const make = (body, t = time) => ({
    config, body,
    headers: json({ "X-Zendesk-Webhook-Signature": hmac(config.secrets[0], t + body, "base64"), "X-Zendesk-Webhook-Signature-Timestamp": t, "X-Zendesk-Webhook-Invocation-Id": "i-1" }),
  });
  const good = make('{"account_id":12,"id":"e-1","time":"2023-11-14T22:13:19Z","type":"zen:event-type:ticket.created"}');
  const published = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ==";
  provider("zendesk", "Zendesk: Verifying webhook authenticity", {
    good: [
      ["event subscription", good, { event_id: "i-1", event_type: "zen:event-type:ticket.created", tenant_key: "12" }],
      ["no body: the time alone", make(""), {}],
      ["the edge", { ...good, now: NOW + 300 }, {}],
    ],
    bad: [
      ...spoilt(good, { header: "X-Zendesk-Webhook-Signature", otherSecret: { ...config, secrets: ["b3RoZXI="] }, time: true }),
      ["published test secret", { ...good, config: { secrets: [published] }, headers: { ...good.headers, "X-Zendesk-Webhook-Signature": hmac(published, time + good.body, "base64") } }],
      ["secret decoded", { ...good, headers: { ...good.headers, "X-Zendesk-Webhook-Signature": hmac(Buffer.from(config.secrets[0], "base64"), time + good.body, "base64") } }],
      ["time as a number", make(good.body, `${NOW}`)],
    ],
  });
}

// --- Paddle
{
  const config = { secrets: ["pdl_ntfset_01_a"] };
  const sig = (t, body, secret = config.secrets[0]) => hmac(secret, `${t}:${body}`);
  const body = '{"event_id":"evt_1","event_type":"transaction.completed","occurred_at":"2023-11-14T22:13:20.123456Z"}';
  const good = { config, body, headers: json({ "Paddle-Signature": `ts=${NOW};h1=${sig(NOW, body)}` }) };
  provider("paddle", "Paddle: Verify webhook signatures", {
    good: [["transaction", good, { event_id: "evt_1", event_type: "transaction.completed" }]],
    bad: [
      ...spoilt(good, { header: "Paddle-Signature", otherSecret: { secrets: ["pdl_ntfset_01_b"] }, time: true }),
      ["h2 alone", { ...good, headers: json({ "Paddle-Signature": `ts=${NOW};h2=${sig(NOW, body)}` }) }],
      ["Stripe's separators", { ...good, headers: json({ "Paddle-Signature": `t=${NOW},v1=${sig(NOW, body)}` }) }],
    ],
  });
}

// --- Square
{
  const url = "https://hooks.example.com/in/abc";
  const config = { secrets: ["Ibxx_5AKakO-3qeNVR61Dw"] };
  const make = (body, u = url) => ({ config, body, url, headers: json({ "x-square-hmacsha256-signature": hmac(config.secrets[0], u + body, "base64") }) });
  const good = make('{"merchant_id":"M1","type":"payment.created","event_id":"e-1","created_at":"2023-11-14T22:13:20Z"}');
  provider("square", "Square: Validate and verify webhooks", {
    good: [
      ["payment", good, { event_id: "e-1", event_type: "payment.created", tenant_key: "M1" }],
      ["public URL set, another host asked", { ...good, config: { ...config, public_url: url }, url: "https://postern.example.workers.dev/in/abc" }, { event_id: "e-1" }],
    ],
    bad: [
      ...spoilt(good, { header: "x-square-hmacsha256-signature", otherSecret: { secrets: ["other"] } }),
      ["URL with a trailing slash", make(good.body, `${url}/`)],
      ["URL not known", { ...good, url: null }],
      ["SHA-1 header alone", { ...good, headers: json({ "x-square-signature": hmac(config.secrets[0], url + good.body, "base64", "sha1") }) }],
    ],
  });
}

// --- Typeform
{
  const config = { secrets: ["typeform-secret"] };
  const make = (body) => ({ config, body, headers: json({ "Typeform-Signature": `sha256=${hmac("typeform-secret", body, "base64")}` }) });
  const good = make('{"event_id":"e1","event_type":"form_response","form_response":{"form_id":"f","submitted_at":"2023-11-14T22:13:20Z"}}');
  provider("typeform", "Typeform: Secure your webhooks", {
    good: [
      ["response", good, { event_id: "e1", event_type: "form_response", tenant_key: "f" }],
      ["partial response", make('{"event_id":"e2","event_type":"form_response_partial"}'), { event_id: "e2", event_type: "form_response_partial" }],
    ],
    bad: [
      ...spoilt(good, { header: "Typeform-Signature", otherSecret: { secrets: ["other"] } }),
      ["no prefix", { ...good, headers: json({ "Typeform-Signature": hmac("typeform-secret", good.body, "base64") }) }],
    ],
  });
}

// --- Notion
{
  const secret = "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl";
  const config = { secrets: [secret] };
  const make = (body) => ({ config, body, headers: json({ "X-Notion-Signature": `sha256=${hmac(secret, body)}` }) });
  const good = make('{"id":"n1","timestamp":"2023-11-14T22:13:20.000Z","workspace_id":"w","type":"page.created","attempt_number":1}');
  const token = '{"verification_token":"secret_new"}';
  provider("notion", "Notion: Webhooks", {
    good: [
      ["page", good, { event_id: "n1", event_type: "page.created", tenant_key: "w" }],
      ["handshake while pending", { config: { secrets: [], state: "pending" }, body: token, headers: json() }, { response_status: 200, response_body: "" }],
      ["handshake repeated with the token that was kept", { config: { secrets: ["secret_new"], state: "pending" }, body: token, headers: json() }, { response_status: 200 }],
      ["event while pending", { ...good, config: { ...config, state: "pending" } }, { event_id: "n1" }],
    ],
    bad: [
      ...spoilt(good, { header: "X-Notion-Signature", otherSecret: { secrets: ["secret_other"] } }),
      ["handshake with another token than the one that was kept", { config: { secrets: ["secret_old"], state: "pending" }, body: token, headers: json() }, { response_status: 403 }],
      ["handshake on an active source, signed with its own token", { config, body: token, headers: json({ "X-Notion-Signature": `sha256=${hmac("secret_new", token)}` }) }],
      ["handshake on an active source, signed with the source's secret", make(token)],
      ["base64 for hex", { ...good, headers: json({ "X-Notion-Signature": `sha256=${hmac(secret, good.body, "base64")}` }) }],
    ],
  });
}

// --- Meta
{
  const config = { secrets: ["app-secret"], verify_token: "meatyhamhock" };
  const make = (body) => ({ config, body, headers: json({ "X-Hub-Signature-256": `sha256=${hmac("app-secret", body)}` }) });
  const get = (query) => ({ config, method: "GET", url: `https://hub.example/in/src?${query}` });
  const batch = make('{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"value":{"metadata":{"phone_number_id":"55"},"statuses":[{"id":"wamid.A","status":"delivered","timestamp":"1700000000"},{"id":"wamid.A","status":"read","timestamp":"1700000001"}]},"field":"messages"}]},{"id":"2","changes":[{"value":{"metadata":{"phone_number_id":"66"},"messages":[{"id":"wamid.B","type":"image","timestamp":"1700000002"}]},"field":"messages"},{"value":{},"field":"account_update"}]}]}');
  provider("meta", "Meta: Getting started – Webhooks from Meta", {
    good: [
      ["batch of two accounts", batch, { event_ids: ["wamid.A:delivered", "wamid.A:read", "wamid.B", null], event_types: ["messages.statuses.delivered", "messages.statuses.read", "messages.image", "whatsapp_business_account.account_update"], tenant_keys: ["55", "55", "66", "2"] }],
      ["handshake", get("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock"), { response_status: 200, response_body: "1158201444", response_content_type: "text/plain" }],
      ["Messenger", make('{"object":"page","entry":[{"id":"p","time":1700000000000,"messaging":[{"sender":{"id":"u"},"recipient":{"id":"p"},"timestamp":1700000000000,"message":{"mid":"m_1","text":"hi"}}]}]}'), { event_id: "m_1", event_type: "page.message", tenant_key: "p" }],
      ["a malformed item is kept beside a good one", make('{"object":"page","entry":[{"id":"p","changes":[{"field":"feed","value":{}}]},7]}'), { event_types: ["page.feed", "unknown"] }],
    ],
    bad: [
      ...spoilt(batch, { header: "X-Hub-Signature-256", otherSecret: { ...config, secrets: ["app-secreT"] } }),
      ["SHA-1 header alone", { ...batch, headers: json({ "X-Hub-Signature": `sha1=${hmac("app-secret", batch.body, "hex", "sha1")}` }) }],
      ["challenge with mark-up", get("hub.mode=subscribe&hub.challenge=%3Cb%3E&hub.verify_token=meatyhamhock"), { response_status: 403 }],
      ["two verify tokens", get("hub.mode=subscribe&hub.challenge=1&hub.verify_token=meatyhamhock&hub.verify_token=x"), { response_status: 403 }],
      ["GET that is no handshake", get("hub.verify_token=meatyhamhock"), { response_status: 403 }],
    ],
  });
}

// --- RevenueCat
{
  const value = "Bearer rc-7f3a-and-more-of-it";
  const config = { authorization: value };
  const signed = { signing_secret: "test-secret" };
  const body = '{"event":{"id":"e1","type":"RENEWAL","app_id":"app1","event_timestamp_ms":1700000000000}}';
  const good = { config, body, headers: json({ Authorization: value }) };
  const sig = (text, t = NOW) => `t=${t},v1=${hmac("test-secret", `${t}.${text}`)}`;
  const h = "X-RevenueCat-Webhook-Signature";
  const bySignature = { config: signed, body, headers: json({ [h]: sig(body) }) };
  const both = { config: { ...config, ...signed }, body, headers: json({ Authorization: value, [h]: sig(body) }) };
  provider("revenuecat", "RevenueCat: Webhooks", {
    good: [
      ["renewal", good, { event_id: "e1", event_type: "RENEWAL", tenant_key: "app1" }],
      ["signature", bySignature, { event_id: "e1" }],
      ["both", both, { event_id: "e1" }],
    ],
    bad: [
      ["other value", { ...good, config: { authorization: "Bearer rc-7f3a-and-more-of-iT" } }],
      ["missing header", { ...good, headers: json() }],
      ["doubled header", { ...good, headers: json({ Authorization: [value, value] }) }],
      ["value without its scheme", { ...good, headers: json({ Authorization: value.slice(7) }) }],
      ["both wanted, signature missing", { ...both, headers: json({ Authorization: value }) }],
      ["both wanted, header missing", { ...both, headers: json({ [h]: sig(body) }) }],
      ["both wanted, stale", { ...both, now: NOW + 301 }],
      ["the fixed header where the signature is wanted", { ...bySignature, headers: json({ Authorization: "test-secret" }) }],
      ["signature under the header's value", { ...both, headers: json({ Authorization: value, [h]: `t=${NOW},v1=${hmac(value, `${NOW}.${body}`)}` }) }],
    ],
  });
}

// --- Telegram
{
  const config = { secrets: ["s3cr3t_Token-1"] };
  const h = "X-Telegram-Bot-Api-Secret-Token";
  const make = (body) => ({ config, body, headers: json({ [h]: "s3cr3t_Token-1" }) });
  const good = make('{"update_id":7,"callback_query":{"id":"1","data":"x"}}');
  provider("telegram", "Telegram: Bot API setWebhook", {
    good: [
      ["callback query", good, { event_id: "7", event_type: "callback_query" }],
      ["body that is no JSON", make("hello"), { event_id: null, event_type: "webhook.received" }],
    ],
    bad: [
      ["other token", { ...good, config: { secrets: ["other"] } }],
      ["missing header", { ...good, headers: json() }],
      ["empty header", { ...good, headers: json({ [h]: "" }) }],
      ["doubled header", { ...good, headers: json({ [h]: ["s3cr3t_Token-1", "s3cr3t_Token-1"] }) }],
      ["longer token", { ...good, headers: json({ [h]: "s3cr3t_Token-1x" }) }],
      ["token in another case", { ...good, headers: json({ [h]: "S3CR3T_TOKEN-1" }) }],
    ],
  });
}

// --- Mailgun
{
  const key = "key-of-webhooks";
  const config = { secrets: [key] };
  const token = "a".repeat(50);
  const sign3 = (t = NOW) => ({ timestamp: `${t}`, token, signature: hmac(key, `${t}${token}`) });
  const make = (signature, headers = json()) => ({ config, headers, body: JSON.stringify({ signature, "event-data": { event: "delivered", id: "m1", timestamp: NOW + 0.5, domain: { name: "example.com" } } }) });
  const good = make(sign3());
  const form = (fields) => ({ config, headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: new URLSearchParams(fields).toString() });
  const multipart = (fields) => ({
    config, headers: { "Content-Type": 'multipart/form-data; boundary="xyz"' },
    body: `${Object.entries(fields).map(([n, v]) => `--xyz\r\nContent-Disposition: form-data; name="${n}"\r\n\r\n${v}\r\n`).join("")}--xyz--\r\n`,
  });
  provider("mailgun", "Mailgun: Securing webhooks", {
    good: [
      ["delivered", good, { event_id: "m1", event_type: "delivered", tenant_key: "example.com" }],
      ["inbound route, form", form({ ...sign3(), recipient: "a@example.com", domain: "example.com" }), { event_id: null, event_type: "message.received", tenant_key: "example.com" }],
      ["inbound route, parts", multipart({ recipient: "a@example.com", ...sign3() }), { event_type: "message.received" }],
      ["a retry of the same day", { ...good, now: NOW + 86400 }, {}],
    ],
    bad: [
      ["other key", { ...good, config: { secrets: ["other"] } }],
      ["altered time", make({ ...sign3(), timestamp: `${NOW + 1}` })],
      ["altered token", make({ ...sign3(), token: `${token.slice(1)}b` })],
      ["no signature", make({ timestamp: `${NOW}`, token })],
      ["stale", { ...good, now: NOW + 86401 }],
      ["signature field twice in a form", { ...form(sign3()), body: `${new URLSearchParams(sign3())}&signature=00` }],
      ["signature field twice in parts", { ...multipart(sign3()), body: multipart(sign3()).body.replace("--xyz--", '--xyz\r\nContent-Disposition: form-data; name="token"\r\n\r\nx\r\n--xyz--') }],
      ["signature in a header", { ...good, body: "{}", headers: json({ signature: sign3().signature }) }],
    ],
  });
}

// --- Twilio
{
  const config = { secrets: ["12345"] };
  const url = "https://hooks.example.com/in/abc";
  const sig = (text) => hmac("12345", text, "base64", "sha1");
  const form = (fields, signed = url) => ({
    config, url, body: new URLSearchParams(fields).toString(),
    headers: { "Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": sig(signed + Object.keys(fields).sort().map((k) => k + fields[k]).join("")) },
  });
  const good = form({ MessageSid: "SM1", MessageStatus: "delivered", AccountSid: "AC1", To: "+1555" });
  const events = '[{"id":"EZ1","type":"com.twilio.messaging.message.delivered","time":"2023-11-14T22:13:20.000Z","data":{"accountSid":"AC1"}},{"id":"EZ2","type":"x","data":{}}]';
  const hashed = `${url}?bodySHA256=${createHash("sha256").update(events).digest("hex")}`;
  const stream = { config, url: hashed, body: events, headers: json({ "X-Twilio-Signature": sig(hashed) }) };
  provider("twilio", "Twilio: Webhooks security", {
    good: [
      ["status callback", good, { event_id: "SM1:delivered", event_type: "message.delivered", tenant_key: "AC1" }],
      ["incoming call", form({ CallSid: "CA1", CallStatus: "ringing", AccountSid: "AC1" }), { event_id: "CA1:ringing", event_type: "call.ringing" }],
      ["event stream", stream, { event_ids: ["EZ1", "EZ2"], event_types: ["com.twilio.messaging.message.delivered", "x"], tenant_keys: ["AC1", null] }],
      ["public URL with a name and password", { ...form({ A: "1" }, "https://u:p@hooks.example.com/in/abc"), config: { ...config, public_url: "https://u:p@hooks.example.com/in/abc" } }, {}],
      ["GET: the address alone", { config, method: "GET", url: `${url}?MessageSid=SM1`, headers: { "X-Twilio-Signature": sig(`${url}?MessageSid=SM1`) } }, { event_id: "SM1:" }],
    ],
    bad: [
      ...spoilt(good, { header: "X-Twilio-Signature", otherSecret: { secrets: ["54321"] } }),
      ["another address", form({ A: "1" }, "https://hooks.example.com/in/abd")],
      ["JSON with the hash of another body", { ...stream, body: `${events} ` }],
      ["JSON under a form's signature", { ...good, headers: { ...good.headers, "Content-Type": "application/json" } }],
      ["address not known", { ...good, url: null }],
    ],
  });
}

// --- HubSpot
{
  const secret = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";
  const config = { secrets: [secret] };
  const url = "https://hooks.example.com/in/abc";
  const body = '[{"eventId":1,"subscriptionId":2,"portalId":3,"occurredAt":1700000000000,"subscriptionType":"contact.creation","attemptNumber":0},{"eventId":1,"subscriptionId":2,"portalId":4,"occurredAt":1700000000000,"subscriptionType":"contact.deletion","attemptNumber":1},"?"]';
  const h = "X-HubSpot-Signature-v3";
  const make = (text, { u = url, signedUrl = u, t = `${NOW}000`, method = "POST" } = {}) => ({
    config, url: u, body: text, headers: json({ [h]: hmac(secret, method + signedUrl + text + t, "base64"), "X-HubSpot-Request-Timestamp": t }),
  });
  const good = make(body);
  const v1 = createHash("sha256").update(secret + body).digest("hex");
  const v2 = createHash("sha256").update(`${secret}POST${url}${body}`).digest("hex");
  provider("hubspot", "HubSpot: Validating requests", {
    good: [
      ["batch of two portals and nonsense", good, { event_ids: ["3:2:1:1700000000000", "4:2:1:1700000000000", null], event_types: ["contact.creation", "contact.deletion", "unknown"], tenant_keys: ["3", "4", null] }],
      ["escapes in the address", make("{}", { u: `${url}?a=b%40c%3A`, signedUrl: `${url}?a=b@c:` }), {}],
      ["version 2 where it is asked for", { ...good, config: { ...config, versions: ["v2", "v3"] }, headers: json({ "X-HubSpot-Signature": v2, "X-HubSpot-Signature-Version": "v2" }) }, {}],
    ],
    bad: [
      ...spoilt(good, { header: h, otherSecret: { secrets: ["zzzzzzzz-yyyy-yyyy-yyyy-yyyyyyyyyyyy"] }, time: true }),
      ["seconds for milliseconds", make(body, { t: `${NOW}` })],
      ["version 1 where version 3 is asked for", { ...good, headers: json({ "X-HubSpot-Signature": v1, "X-HubSpot-Signature-Version": "v1" }) }],
      ["version 1 where version 2 is asked for", { ...good, config: { ...config, versions: ["v2"] }, headers: json({ "X-HubSpot-Signature": v1, "X-HubSpot-Signature-Version": "v2" }) }],
      ["another address", make(body, { signedUrl: `${url}/` })],
    ],
  });
}

// --- Standard Webhooks and its kin
{
  const raw = Buffer.from("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "base64");
  const other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
  const kin = [
    ["resend", "Resend: Managing webhooks", "svix", "whsec_", '{"type":"email.delivered","created_at":"2023-11-14T22:13:20.000Z"}', { event_id: "msg_1", event_type: "email.delivered" }],
    ["svix", "Svix: How to verify webhooks manually", "svix", "whsec_", '{"type":"a.b"}', { event_id: "msg_1", event_type: "a.b" }],
    ["openai", "OpenAI: Webhooks", "webhook", "whsec_", '{"id":"evt_1","type":"response.completed","created_at":1700000000}', { event_id: "msg_1", event_type: "response.completed" }],
    ["supabase", "Supabase: Auth Hooks", "webhook", "v1,whsec_", '{"metadata":{"uuid":"u-1","name":"send-email","time":"2023-11-14T22:13:20Z"}}', { event_id: "u-1", event_type: "send-email" }],
  ];
  for (const [name, source, family, prefix, body, expect] of kin) {
    const config = { secrets: [`${prefix}${raw.toString("base64")}`] };
    const h = `${family}-signature`;
    const make = (text, id = "msg_1", t = NOW, key = raw) => ({
      config, body: text, headers: json({ [`${family}-id`]: id, [`${family}-timestamp`]: `${t}`, [h]: `v1,${hmac(key, `${id}.${t}.${text}`, "base64")}` }),
    });
    const good = make(body);
    const twice = make(body, name === "supabase" ? "msg_2" : "msg_1");
    provider(name, source, {
      good: [
        ["event", good, expect],
        ["again: the same name", twice, expect],
        ["no JSON is still an event", make("hello"), { event_type: "webhook.received" }],
        ["forged signature first, ours next", { ...good, headers: { ...good.headers, [h]: `v1,${"A".repeat(43)}= ${good.headers[h]}` } }, expect],
        ["list joined by a comma and a blank, ours first", { ...good, headers: { ...good.headers, [h]: `${good.headers[h]}, v1,${"A".repeat(43)}=` } }, expect],
      ],
      bad: [
        ...spoilt(good, { header: h, otherSecret: { secrets: [prefix + other.slice(6)] }, time: true }),
        ["key taken as text", make(body, "msg_1", NOW, config.secrets[0])],
        ["another id", { ...good, headers: { ...good.headers, [`${family}-id`]: "msg_9" } }],
        ["no id", { ...good, headers: Object.fromEntries(Object.entries(good.headers).filter(([k]) => k !== `${family}-id`)) }],
        ["families mixed", { ...good, headers: { ...good.headers, [`${family}-id`]: "", [family === "svix" ? "webhook-id" : "svix-id"]: "msg_1" } }],
        ["another scheme", { ...good, headers: { ...good.headers, [h]: good.headers[h].replace("v1,", "v2,") } }],
      ],
    });
  }
}

// --- Ed25519: Discord and the generic preset
{
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const hexOf = (key) => Buffer.from(key.export({ format: "jwk" }).x, "base64url").toString("hex");
  const config = { public_key: hexOf(publicKey) };
  const otherSecret = { public_key: hexOf(generateKeyPairSync("ed25519").publicKey) };
  const h = "X-Signature-Ed25519";
  const make = (body, t = `${NOW}`) => ({ config, body, headers: json({ [h]: sign(null, Buffer.from(t + body), privateKey).toString("hex"), "X-Signature-Timestamp": t }) });
  const command = make('{"id":"55","type":2,"application_id":"9","guild_id":"8","token":"t"}');
  provider("discord", "Discord: Interactions overview; Webhook Events", {
    good: [
      ["command", command, { event_id: "55", event_type: "interaction.application_command", tenant_key: "8" }],
      ["webhook event", make('{"version":1,"application_id":"9","type":1,"event":{"type":"APPLICATION_AUTHORIZED","timestamp":"2023-11-14T22:13:20.000000","data":{}}}'), { event_id: null, event_type: "APPLICATION_AUTHORIZED", tenant_key: "9" }],
      ["webhook PING", make('{"version":1,"application_id":"9","type":0}'), { response_status: 204, response_body: "" }],
    ],
    bad: spoilt(command, { header: h, otherSecret, time: true }),
  });
  const plain = make('{"a":1}');
  const dated = { ...plain, config: { ...config, tolerance: 300 } };
  provider("ed25519", "RFC 8032", {
    good: [
      ["with a time", plain, {}],
      ["without any time", (() => { const r = make("x", ""); delete r.headers["X-Signature-Timestamp"]; return r; })(), {}],
      ["fresh", dated, {}],
    ],
    bad: [
      ...spoilt(dated, { header: h, otherSecret, time: true }),
      ["no time where one is asked for", { ...make("x", ""), config: dated.config }],
      ["moved between time and body", { ...dated, headers: { ...dated.headers, "X-Signature-Timestamp": "170000000" }, body: `0${dated.body}` }],
    ],
  });
}

// --- SendGrid
{
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = (key) => key.export({ format: "der", type: "spki" }).toString("base64");
  const config = { public_key: spki(publicKey) };
  const h = "X-Twilio-Email-Event-Webhook-Signature";
  const make = (body, t = `${NOW}`) => ({ config, body, headers: json({ [h]: sign("sha256", Buffer.from(t + body), privateKey).toString("base64"), "X-Twilio-Email-Event-Webhook-Timestamp": t }) });
  const good = make('[{"event":"open","sg_event_id":"a","timestamp":1700000000},{"event":"click","sg_event_id":"b","timestamp":1700000001},7]\r\n');
  const raw = sign("sha256", Buffer.from(NOW + good.body), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64");
  provider("sendgrid", "SendGrid: Event Webhook security features", {
    good: [
      ["batch with nonsense and a last line end", good, { event_ids: ["a", "b", null], event_types: ["open", "click", "unknown"] }],
      ["late, and no tolerance is set", { ...good, now: NOW + 80000 }, {}],
      ["fresh, with a tolerance", { ...good, config: { ...config, tolerance: 300 } }, {}],
      ["empty batch", make("[]"), { event_ids: [] }],
      ["key as PEM", { ...good, config: { public_key: publicKey.export({ format: "pem", type: "spki" }).trim() } }, {}],
    ],
    bad: [
      ...spoilt({ ...good, config: { ...config, tolerance: 300 } }, { header: h, otherSecret: { public_key: spki(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey) }, time: true }),
      ["without its last line end", { ...good, body: good.body.trimEnd() }],
      ["signature not in DER", { ...good, headers: { ...good.headers, [h]: raw } }],
    ],
  });
}

// --- Tokens
{
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = (key, kid, alg) => ({ ...key.export({ format: "jwk" }), kid, alg, use: "sig" });
  const jwks = { keys: [jwk(rsa.publicKey, "r1", "RS256"), jwk(ec.publicKey, "e1", "ES256")] };
  const encode = (header, claims, key, options = {}) => {
    const signed = `${b64url(JSON.stringify(header))}.${b64url(JSON.stringify(claims))}`;
    return `${signed}.${sign("sha256", Buffer.from(signed), { key, ...options }).toString("base64url")}`;
  };
  const rs = (claims, header = {}, key = rsa.privateKey) => encode({ alg: "RS256", kid: "r1", typ: "JWT", ...header }, claims, key);
  const es = (claims, header = {}, options = { dsaEncoding: "ieee-p1363" }) => encode({ alg: "ES256", kid: "e1", ...header }, claims, ec.privateKey, options);
  const bearer = (token) => json({ Authorization: `Bearer ${token}` });
  const body = '{"a":1}';
  const claims = { iss: "https://issuer.example", aud: ["https://hooks.example.com", "other"], iat: NOW, exp: NOW + 3600 };
  const config = { jwks, issuer: claims.iss, audience: "https://hooks.example.com" };
  const digest = createHash("sha256").update(body).digest("hex");
  const hashed = { ...config, body_hash_claim: "body" };
  const good = { config, body, headers: bearer(rs(claims)) };
  const bad = (token, more = {}) => ({ ...good, headers: bearer(token), ...more });
  const [h, p, s] = rs(claims).split(".");
  provider("jwt", "RFC 7519; RFC 8725", {
    good: [
      ["RS256", good, {}],
      ["ES256, 64 raw bytes", bad(es(claims)), {}],
      ["no key id: every key is tried", bad(rs(claims, { kid: undefined })), {}],
      ["digest of the body in hex", bad(rs({ ...claims, body: digest }), { config: hashed }), {}],
      ["digest of the body in base64url", bad(es({ ...claims, body: Buffer.from(digest, "hex").toString("base64url") }), { config: hashed }), {}],
    ],
    bad: [
      ["by a stranger's key", bad(rs(claims, {}, stranger.privateKey))],
      ["altered claims", bad(`${h}.${b64url(JSON.stringify({ ...claims, aud: "x" }))}.${s}`)],
      ["no signature", bad(`${h}.${p}.`)],
      ["alg none", bad(`${b64url('{"alg":"none"}')}.${p}.`)],
      ["HS256 with the public key", bad((() => { const signed = `${b64url('{"alg":"HS256","kid":"r1"}')}.${p}`; return `${signed}.${createHmac("sha256", rsa.publicKey.export({ format: "pem", type: "spki" })).update(signed).digest("base64url")}`; })())],
      ["ES256 in DER", bad(es(claims, {}, { dsaEncoding: "der" }))],
      ["RS256 where only ES256 is allowed", { ...good, config: { ...config, algorithms: ["ES256"] } }],
      ["unknown key id", bad(rs(claims, { kid: "r2" }))],
      ["ended", { ...good, now: NOW + 3901 }],
      ["no end", bad(rs({ ...claims, exp: undefined }))],
      ["begins later", bad(rs({ ...claims, nbf: NOW + 301 }))],
      ["other audience", bad(rs({ ...claims, aud: "https://hooks.example.com/" }))],
      ["other issuer", bad(rs({ ...claims, iss: "https://issuer.example/" }))],
      ["digest of another body", bad(rs({ ...claims, body: digest }), { config: hashed, body: `${body} ` })],
      ["no digest where one is asked for", { ...good, config: hashed }],
      ["critical header", bad(rs(claims, { crit: ["exp"] }))],
      ["doubled header", { ...good, headers: json({ Authorization: [`Bearer ${rs(claims)}`, `Bearer ${rs(claims)}`] }) }],
      ["Basic with the same text", { ...good, headers: json({ Authorization: `Basic ${rs(claims)}` }) }],
      ["missing header", { ...good, headers: json() }],
    ],
  });
  const one = { jwk: rsa.publicKey.export({ format: "jwk" }) };
  const plain = { config: one, body, headers: bearer(rs({ a: 1 })) };
  provider("rs256", "RFC 7515", {
    good: [["no claims about time", plain, {}], ["before its end", { ...plain, headers: bearer(rs({ exp: NOW })) }, {}]],
    bad: [
      ["by a stranger's key", { ...plain, headers: bearer(rs({}, {}, stranger.privateKey)) }],
      ["after its end", { ...plain, headers: bearer(rs({ exp: NOW - 301 })) }],
      ["ES256", { ...plain, headers: bearer(es({})) }],
      ["cut", { ...plain, headers: bearer(rs({}).slice(0, -4)) }],
      ["missing header", { ...plain, headers: json() }],
      ["an end that is a text", { ...plain, headers: bearer(rs({ exp: "tomorrow" })) }],
    ],
  });
  const google = { iss: "https://accounts.google.com", aud: "https://hub.example/in/gmail", email: "pubsub@example.iam.gserviceaccount.com", email_verified: true, iat: NOW, exp: NOW + 3600 };
  const data = b64('{"emailAddress":"user@example.com","historyId":9876543210}');
  const push1 = `{"message":{"data":"${data}","messageId":"1","publishTime":"2023-11-14T22:13:20.5Z"},"subscription":"projects/p/subscriptions/s"}`;
  const source = { config: { jwks, audience: google.aud, email: google.email }, body: push1, headers: bearer(rs(google)) };
  provider("pubsub", "Google: Authentication for push subscriptions; Push notifications in Gmail", {
    good: [
      ["Gmail", source, { event_id: "projects/p/subscriptions/s:1", event_type: "gmail.history", tenant_key: "user@example.com" }],
      ["unwrapped", { ...source, body: "hello", headers: { ...source.headers, "x-goog-pubsub-message-id": "2", "x-goog-pubsub-subscription-name": "s" } }, { event_id: "s:2", event_type: "pubsub.message" }],
    ],
    bad: [
      ["another service account", { ...source, headers: bearer(rs({ ...google, email: "evil@example.iam.gserviceaccount.com" })) }],
      ["two headers", { ...source, headers: json({ Authorization: [`Bearer ${rs(google)}`, `Bearer ${rs(google)}`] }) }],
      ["unknown key id", { ...source, headers: bearer(rs(google, { kid: "new" })) }],
      ["another issuer", { ...source, headers: bearer(rs({ ...google, iss: "https://accounts.google.com.evil.example" })) }],
    ],
  });
  // Rich notifications of Microsoft Graph: a token for each app and tenant beside the items.
  const publisher = "0bf30f3b-4a52-48df-9a82-234910c4a086";
  const app = "8e460676-ae3f-4b1e-8790-ee0fb5d6148f";
  const state = "client-state-of-a-subscription";
  const graph = (tid, more = {}) => ({ aud: app, iss: `https://sts.windows.net/${tid}/`, appid: publisher, tid, iat: NOW, nbf: NOW, exp: NOW + 3600, ...more });
  const second = (tid) => ({ ...graph(tid, { appid: undefined, azp: publisher }), iss: `https://login.microsoftonline.com/${tid}/v2.0` });
  const rich = (tid, more = {}) => ({ subscriptionId: "s1", clientState: state, changeType: "created", tenantId: tid, encryptedContent: { data: "AA==" }, ...more });
  const notify = (tokens, ...items) => ({
    config: { secrets: [state], app_ids: [app], jwks }, url: "https://hooks.example.com/in/abc", headers: json(),
    body: JSON.stringify({ value: items, validationTokens: tokens }),
  });
  provider("microsoft-graph", "Microsoft: Set up change notifications that include resource data", {
    good: [
      ["rich, a token of version 1", notify([rs(graph("t1"))], rich("t1")), { event_types: ["created"], tenant_keys: ["t1"] }],
      ["rich, two tenants and both versions", notify([rs(graph("t1")), rs(second("t2"))], rich("t1"), rich("t2")), { tenant_keys: ["t1", "t2"] }],
      ["content of a tenant without a token is dropped", notify([rs(graph("t1"))], rich("t1"), rich("t2")), { tenant_keys: ["t1"] }],
      ["without content no token is needed", notify(undefined, rich("t1", { encryptedContent: undefined })), { event_types: ["created"] }],
    ],
    bad: [
      ["content without a token", notify(undefined, rich("t1"))],
      ["token of another tenant", notify([rs(graph("t2"))], rich("t1"))],
      ["token for another app", notify([rs(graph("t1", { aud: "8e460676-ae3f-4b1e-8790-000000000000" }))], rich("t1"))],
      ["token by another publisher", notify([rs(graph("t1", { appid: app }))], rich("t1"))],
      ["token by another issuer", notify([rs(graph("t1", { iss: "https://sts.windows.net/t2/" }))], rich("t1"))],
      ["token by a stranger's key", notify([rs(graph("t1"), {}, stranger.privateKey)], rich("t1"))],
      ["one good token and one forged", notify([rs(graph("t1")), rs(graph("t2"), {}, stranger.privateKey)], rich("t1"))],
      ["token that has ended", notify([rs(graph("t1", { exp: NOW - 301 }))], rich("t1"))],
      ["token with the state of nobody", notify([rs(graph("t1"))], rich("t1", { clientState: "x" }))],
      ["no token at all", notify(["no token"], rich("t1"))],
    ],
  });
}

// --- Google channels
{
  const token = "398348u3tu83ut8uu38-and-more";
  const config = { channels: { c1: { token, resource_id: "r1" }, c2: { token: "another-token-of-another-channel", resource_id: "r2" } } };
  const make = (headers) => ({ config, body: "", headers: { "X-Goog-Channel-ID": "c1", "X-Goog-Channel-Token": token, "X-Goog-Resource-ID": "r1", "X-Goog-Resource-State": "exists", "X-Goog-Message-Number": "2", "X-Goog-Resource-URI": "https://www.googleapis.com/calendar/v3/calendars/a/events", ...headers } });
  const without = (name) => { const r = make({}); delete r.headers[name]; return r; };
  provider("google-calendar", "Google: Push notifications", {
    good: [
      ["exists", make({}), { event_id: "c1:2", event_type: "calendar.exists", tenant_key: "c1" }],
      ["sync is a handshake", make({ "X-Goog-Resource-State": "sync", "X-Goog-Message-Number": "1" }), { response_status: 200, response_body: "" }],
      ["Drive", make({ "X-Goog-Resource-State": "update", "X-Goog-Resource-URI": "https://www.googleapis.com/drive/v3/files/x" }), { event_type: "drive.update" }],
      ["channel that has ended", { ...make({ "X-Goog-Channel-Expiration": "Tue, 19 Nov 2013 01:13:52 GMT" }) }, {}],
      ["channel by hand", { ...make({}), config: { secrets: [`c1:${token}`] } }, { event_id: "c1:2" }],
    ],
    bad: [
      ["right token for another channel", make({ "X-Goog-Channel-ID": "c2", "X-Goog-Resource-ID": "r2" })],
      ["unknown channel", make({ "X-Goog-Channel-ID": "c3" })],
      ["missing token", without("X-Goog-Channel-Token")],
      ["missing channel", without("X-Goog-Channel-ID")],
      ["doubled token", make({ "X-Goog-Channel-Token": [token, token] })],
      ["no channels at all", { ...make({}), config: {} }],
      ["channel by hand, token of another", { ...make({}), config: { secrets: [`c2:${token}`] } }],
    ],
  });
}

// --- Microsoft Graph
{
  const state = "client-state-of-a-subscription";
  const config = { secrets: [state] };
  const item = (more = {}) => ({ subscriptionId: "s1", clientState: state, changeType: "created", tenantId: "t1", ...more });
  const make = (...items) => ({ config, url: "https://hooks.example.com/in/abc", headers: json(), body: JSON.stringify({ value: items }) });
  provider("microsoft-graph", "Microsoft: Receive change notifications through webhooks", {
    good: [
      ["two items", make(item(), item({ changeType: "updated", id: "n1" })), { event_ids: [null, "n1"], event_types: ["created", "updated"], tenant_keys: ["t1", "t1"] }],
      ["an item with another state is dropped", make(item(), item({ clientState: "x" })), { event_types: ["created"] }],
      ["validation", { config, url: "https://hooks.example.com/in/abc?validationToken=Validation%3A+Testing+client%20a%3D1", headers: {}, body: "" }, { response_status: 200, response_body: "Validation: Testing client a=1", response_content_type: "text/plain" }],
      ["lifecycle", make(item({ changeType: undefined, lifecycleEvent: "missed" })), { event_types: ["lifecycle.missed"] }],
    ],
    bad: [
      ["other state", { ...make(item()), config: { secrets: ["another-client-state-altogether"] } }],
      ["no state", make(item({ clientState: undefined }))],
      ["no subscription", make(item({ subscriptionId: undefined }))],
      ["no list", { ...make(), body: "{}" }],
      ["no JSON", { ...make(), body: "hello" }],
      ["empty list", make()],
      ["validation with mark-up", { config, url: "https://hooks.example.com/in/abc?validationToken=%3Cscript%3E", headers: {}, body: "" }],
    ],
  });
}

// --- Zoom, X, Dropbox
{
  const config = { secrets: ["zoom-secret"] };
  const make = (body, t = NOW) => ({ config, body, headers: json({ "x-zm-request-timestamp": `${t}`, "x-zm-signature": `v0=${hmac("zoom-secret", `v0:${t}:${body}`)}` }) });
  const good = make('{"event":"meeting.started","event_ts":1700000000000,"payload":{"account_id":"acc","object":{"id":"1"}}}');
  const check = '{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1700000000000,"event":"endpoint.url_validation"}';
  const expect = { response_status: 200, response_content_type: "application/json", response_body: JSON.stringify({ encryptedToken: hmac("zoom-secret", "qgg8vlvZRS6UYooatFL8Aw"), plainToken: "qgg8vlvZRS6UYooatFL8Aw" }) };
  provider("zoom", "Zoom: Using webhooks", {
    good: [["event", good, { event_type: "meeting.started", tenant_key: "acc" }], ["validation, signed", make(check), expect], ["validation, unsigned", { config, body: check, headers: json() }, expect]],
    bad: [
      ...spoilt(good, { header: "x-zm-signature", otherSecret: { secrets: ["other"] }, time: true }),
      ["validation under a forged signature", { ...make(check), headers: json({ "x-zm-request-timestamp": `${NOW}`, "x-zm-signature": `v0=${"0".repeat(64)}` }) }],
      ["validation of what could be an event", { config, body: check.replace("qgg8vlvZRS6UYooatFL8Aw", "v0:1700000000:{}"), headers: json() }, { response_status: 403 }],
    ],
  });
}
{
  const config = { secrets: ["consumer-secret"] };
  const h = "x-twitter-webhooks-signature";
  const make = (body) => ({ config, body, headers: json({ [h]: `sha256=${hmac("consumer-secret", body, "base64")}` }) });
  const get = (query) => ({ config, method: "GET", url: `https://hooks.example.com/in/abc?${query}` });
  const good = make('{"for_user_id":"2244994945","tweet_create_events":[]}');
  provider("x", "X: Account Activity API, securing webhooks", {
    good: [["event", good, { event_type: "webhook.received", tenant_key: "2244994945" }], ["check", get("crc_token=abc"), { response_status: 200, response_content_type: "application/json", response_body: JSON.stringify({ response_token: `sha256=${hmac("consumer-secret", "abc", "base64")}` }) }], ["empty body", make(""), {}]],
    bad: [
      ...spoilt(good, { header: h, otherSecret: { secrets: ["other"] } }),
      ["check of what could be an event", get("crc_token=%7B%7D"), { response_status: 403 }],
      ["GET without a token", get("a=b"), { response_status: 403 }],
    ],
  });
}
{
  const config = { secrets: ["dropbox-secret"] };
  const make = (body) => ({ config, body, headers: json({ "X-Dropbox-Signature": hmac("dropbox-secret", body) }) });
  const get = (query) => ({ config, method: "GET", url: `https://hooks.example.com/in/abc?${query}` });
  const good = make('{"list_folder":{"accounts":["dbid:x"]}}');
  provider("dropbox", "Dropbox: Webhooks", {
    good: [["accounts", good, { event_id: null }], ["handshake", get("challenge=abc123"), { response_status: 200, response_body: "abc123", response_content_type: "text/plain" }], ["empty body", make(""), {}]],
    bad: [
      ...spoilt(good, { header: "X-Dropbox-Signature", otherSecret: { secrets: ["other"] } }),
      ["handshake with mark-up", get("challenge=%3Cb%3E"), { response_status: 403 }],
      ["handshake without a challenge", get("a=b"), { response_status: 403 }],
    ],
  });
}

// --- Addresses, and nothing at all
{
  const config = { cidrs: ["192.0.2.0/24", "2001:db8::/32"] };
  const make = (headers) => ({ config, body: "{}", headers });
  const h = "CF-Connecting-IP";
  provider("ip_allow", "Cloudflare HTTP headers", {
    good: [["IPv4", make({ [h]: "192.0.2.255" }), {}], ["IPv6", make({ [h]: "2001:db8:ffff::1" }), {}]],
    bad: [
      ["just outside", make({ [h]: "192.0.3.0" })],
      ["forged X-Forwarded-For", make({ [h]: "198.51.100.1", "X-Forwarded-For": "192.0.2.1" })],
      ["missing header", make({ "X-Forwarded-For": "192.0.2.1" })],
      ["doubled header", make({ [h]: ["192.0.2.1", "192.0.2.1"] })],
      ["no address", make({ [h]: "192.0.2.1, 192.0.2.2" })],
      ["mapped address outside", make({ [h]: "::ffff:198.51.100.1" })],
    ],
  });
  const words = { i_understand: "anybody who knows the address can post" };
  provider("unverified", "none", {
    good: ["{}", "", "hello"].map((body) => [`body ${JSON.stringify(body)}`, { config: words, body, headers: {} }, { event_type: "webhook.received" }]),
    bad: ["GET", "DELETE", "HEAD", "OPTIONS", "TRACE"].map((method) => [method, { config: words, method, headers: {} }, { response_status: 405 }]),
  });
}

writeFileSync(new URL("providers.json", import.meta.url), `[\n${vectors.map((v) => `  ${JSON.stringify(v)}`).join(",\n")}\n]\n`);
console.log(`${vectors.length} vectors`);
