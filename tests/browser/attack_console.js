// What a hostile page tries on the console. What it could read is returned; the test sees what the console has answered.
// `elsewhere` is a server of the page's own, which redirects; `posts` are the paths that do something.

const WAIT_MS = 2000;

async function attackConsole({ target, elsewhere, posts, nested = true }) {
  const read = {};
  const redirect = (to) => `${elsewhere}/redirect?status=307&to=${encodeURIComponent(to)}`;
  const job = JSON.stringify({ ids: ["fault-1"], confirmed: true });
  const PATHS = ["/", "/main.js", "/api.js", "/packages/preact.js", "/api/about", "/api/events?limit=5", "/api/arrivals"];

  // Whatever shows more than that it is refused, which a page may read whose own name leads to the console.
  const keep = (way, value) => {
    const text = String(value ?? "");
    if (text && text !== "0" && !text.startsWith('{"error":')) read[way] = text.slice(0, 200);
  };
  const within = (promise) => Promise.race([promise, new Promise((resolve) => setTimeout(resolve, WAIT_MS))]);

  async function fetched(way, url, init) {
    const left = new AbortController();
    setTimeout(() => left.abort(), WAIT_MS);
    try {
      const answer = await fetch(url, { ...init, signal: left.signal });
      if (![401, 403, 405].includes(answer.status)) keep(`${way} status`, answer.status);
      keep(way, await answer.text());
    } catch { /* the browser keeps the answer from the page */ }
  }

  // Once it has loaded, or failed to.
  function settled(element, into = document.body) {
    return within(new Promise((resolve) => {
      element.onload = () => resolve("loaded");
      element.onerror = () => resolve("failed");
      into.append(element);
    }));
  }

  // A document of another origin throws at everything but a few properties, of which none may tell anything.
  function looked(way, view) {
    for (const [name, look] of Object.entries({
      text: () => view.document.body.textContent, kept: () => view.localStorage.getItem("console-token"),
      hash: () => /token=(?!of-the-attacker)/.exec(view.location.hash), frames: () => view.length, name: () => view.name,
    })) {
      try { keep(`${way} ${name}`, look()); } catch { /* as it should be */ }
    }
  }

  const heard = ({ origin, data }) => origin === target && keep("message", JSON.stringify(data));
  addEventListener("message", heard);

  const tries = [];
  for (const mode of ["cors", "no-cors"]) {
    for (const credentials of ["include", "omit"]) {
      const way = `${mode}-${credentials}`;
      for (const path of PATHS) tries.push(fetched(`${way} ${path}`, target + path, { mode, credentials }));
      for (const path of posts) {
        tries.push(fetched(`post ${way} ${path}`, target + path, { method: "POST", mode, credentials, body: job }));
        tries.push(fetched(`redirected ${way} ${path}`, redirect(target + path), { method: "POST", mode, credentials, body: job }));
      }
      tries.push(fetched(`redirected ${way}`, redirect(`${target}/api/events`), { mode, credentials }));
    }
  }
  // With a preflight.
  for (const token of ["", "guessed", "console-token"]) {
    tries.push(fetched(`token ${token}`, `${target}/api/events`, { headers: { "x-console-token": token } }));
    for (const path of posts) {
      const headers = { "x-console-token": token, "content-type": "application/json" };
      tries.push(fetched(`post with ${token} ${path}`, target + path, { method: "POST", headers, body: job }));
    }
  }
  for (const method of ["PUT", "DELETE", "PATCH"]) tries.push(fetched(method, `${target}/api/events`, { method }));
  for (const path of posts) navigator.sendBeacon(target + path, job);

  // What is of this page, and what a browser keeps by the host, whatever the port.
  keep("own storage", self.origin === "null" ? null : localStorage.getItem("console-token"));
  keep("cookies", self.origin === "null" ? null : document.cookie);

  // As parts of this page.
  for (const path of ["/main.js", "/api.js", "/api/about"]) {
    const script = Object.assign(document.createElement("script"), { src: target + path });
    tries.push(settled(script).then((what) => what === "loaded" && keep(`script ${path}`, what)));
    const module = Object.assign(document.createElement("script"), { src: target + path, type: "module" });
    tries.push(settled(module).then((what) => what === "loaded" && keep(`module ${path}`, what)));
    tries.push(within(import(target + path).then((found) => keep(`import ${path}`, Object.keys(found)), () => {})));
  }
  for (const [tag, path] of [["img", "/icon.svg"], ["video", "/icon.svg"], ["audio", "/api/events"]]) {
    const element = Object.assign(document.createElement(tag), { src: target + path });
    tries.push(settled(element).then((what) => what === "loaded" && keep(`${tag} ${path}`, what)));
  }
  for (const rel of ["stylesheet", "prefetch", "preload", "modulepreload", "icon"]) {
    const link = Object.assign(document.createElement("link"), { rel, href: `${target}/console.css`, as: "style" });
    tries.push(settled(link, document.head));
  }
  tries.push(within(fetch(`${target}/console.css`).catch(() => {})).then(() => {
    for (const sheet of document.styleSheets) {
      try { if (sheet.href?.startsWith(target)) keep("rules", sheet.cssRules.length); } catch { /* of another origin */ }
    }
  }));

  // In frames, and in a window of its own.
  for (const [tag, property] of [["iframe", "src"], ["object", "data"], ["embed", "src"]]) {
    const frame = Object.assign(document.createElement(tag), { [property]: `${target}/#/events` });
    tries.push(settled(frame).then(() => frame.contentWindow && looked(tag, frame.contentWindow)));
  }
  for (const address of [`${target}/`, `${target}/#token=of-the-attacker`]) {
    const opened = open(address, "_blank", "popup");
    if (opened) {
      tries.push(new Promise((resolve) => setTimeout(() => {
        looked("window", opened);
        try { opened.postMessage("x", "*"); opened.location = `${target}/#token=of-the-attacker`; } catch { /* severed */ }
        setTimeout(() => { looked("window", opened); opened.close(); resolve(); }, WAIT_MS / 4);
      }, WAIT_MS / 2)));
    }
  }

  // Forms need no preflight.
  for (const path of posts) {
    const frame = Object.assign(document.createElement("iframe"), { name: `form ${path}` });
    const form = Object.assign(document.createElement("form"), {
      action: target + path, method: "post", enctype: "text/plain", target: frame.name,
    });
    form.append(Object.assign(document.createElement("input"), { name: `${job.slice(0, -1)}, "x": "`, value: '"}' }));
    document.body.append(frame, form);
    tries.push(within(new Promise((resolve) => { frame.onload = resolve; form.submit(); })));
  }

  for (const path of ["/", "/api/arrivals"]) {
    tries.push(within(new Promise((resolve) => {
      const socket = new WebSocket(target.replace("http", "ws") + path);
      socket.onopen = () => resolve(keep(`socket ${path}`, "open"));
      socket.onmessage = ({ data }) => keep(`socket ${path}`, data);
      socket.onerror = socket.onclose = resolve;
    })));
    tries.push(within(new Promise((resolve) => {
      const events = new EventSource(target + path, { withCredentials: true });
      events.onopen = () => keep(`source ${path}`, "open");
      events.onmessage = ({ data }) => keep(`source ${path}`, data);
      events.onerror = () => { events.close(); resolve(); };
    })));
  }
  tries.push(within((async () => {
    for (const path of ["/main.js", "/sw.js"]) {
      try {
        await navigator.serviceWorker.register(target + path, { scope: `${target}/` });
        keep(`service worker ${path}`, "registered");
      } catch { /* of another origin, or refused */ }
    }
  })()));
  const imports = new Blob([`try { importScripts(${JSON.stringify(`${target}/api/about`)}); postMessage("ran") } catch { postMessage("") }`]);
  tries.push(within(new Promise((resolve) => {
    const worker = new Worker(URL.createObjectURL(imports));
    worker.onmessage = ({ data }) => resolve(keep("worker", data));
    worker.onerror = resolve;
  })));

  // Once more without an origin, from a sandbox and from a data: URL.
  for (const [way, sandbox] of nested ? [["sandbox", "allow-scripts allow-forms allow-popups"], ["data", ""]] : []) {
    const again = JSON.stringify({ target, elsewhere, posts, nested: false });
    tries.push(framed(way, sandbox, `const WAIT_MS = ${WAIT_MS}; ${attackConsole} attackConsole(${again})`, read));
  }
  await Promise.all(tries);
  for (const entry of performance.getEntriesByType("resource")) {
    if (entry.name.startsWith(target) && target !== self.origin) {
      if (![401, 403, 405].includes(entry.responseStatus)) keep(`timing ${entry.name}`, entry.transferSize || entry.responseStatus);
    }
  }
  removeEventListener("message", heard);
  return read;
}
