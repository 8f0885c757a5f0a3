// A driver of npm `@volcengine/openapi` (Service and Signer): a JSON object a line in, one out.
"use strict";
const readline = require("readline");
const { Service, Signer } = require("@volcengine/openapi");

async function answerOf(response) {
  return { status: response.status, answer: await response.json() };
}

async function shown(call) {
  const credentials = { accessKeyId: call.ak, secretKey: call.sk, sessionToken: call.token };
  const params = { ...call.query, Action: call.action, Version: call.version };
  const url = `http://${call.host}/`;
  const body = call.method === "POST" ? call.body : undefined;
  if (call.signing === "query") {
    const signer = new Signer({ region: "cn-north-1", method: call.method, params, pathname: "/" }, "rtc");
    const query = signer.getSignUrl(credentials);
    return answerOf(await fetch(`${url}?${query}`, { method: call.method, body: body && JSON.stringify(body) }));
  }
  if (call.signing === "signer") {
    const request = { region: "cn-north-1", method: call.method, params, pathname: "/", body, headers: {} };
    new Signer(request, "rtc").addAuthorization(credentials);
    const query = new URLSearchParams(params);
    return answerOf(
      await fetch(`${url}?${query}`, { method: call.method, headers: request.headers, body: body && JSON.stringify(body) }),
    );
  }
  const service = new Service({
    host: call.host,
    protocol: "http:",
    serviceName: "rtc",
    region: "cn-north-1",
    defaultVersion: call.version,
    ...credentials,
  });
  const answer =
    call.method === "GET"
      ? await service.createAPI(call.action, { method: "GET" })(call.query)
      : await service.createJSONAPI(call.action)(call.body, { query: call.query });
  return { status: null, answer };
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await shown(JSON.parse(line))));
  }
})();
