// Runs a script in a frame without an origin, in a sandbox or from a data: URL, and takes over what it has read.
function framed(way, sandbox, script, read) {
  const frame = document.createElement("iframe");
  const page = `<body><script>${script}.then((read) => parent.postMessage(read, "*"))<` + "/script></body>";
  if (sandbox) Object.assign(frame, { srcdoc: page, sandbox });
  else frame.src = `data:text/html,${encodeURIComponent(page)}`;
  return new Promise((resolve) => {
    addEventListener("message", ({ source, data }) => {
      if (source !== frame.contentWindow) return;
      for (const [each, text] of Object.entries(data)) read[`${way} ${each}`] = text;
      resolve();
    });
    document.body.append(frame);
  });
}
