// Browsers refuse workers to pages that are read from a folder. The search then runs in a hidden
// frame instead, so that it works without a server and without a network.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this._waiting = [];
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inner = frame.contentWindow;
      inner.postMessage = (data) => {
        const event = new MessageEvent("message", { data });
        this.dispatchEvent(event);
        if (this.onmessage) this.onmessage(event);
      };
      const load = (source) =>
        new Promise((done, failed) => {
          const script = inner.document.createElement("script");
          script.src = source;
          script.onload = done;
          script.onerror = failed;
          inner.document.body.append(script);
        });
      inner.importScripts = (...sources) =>
        sources.reduce((before, source) => before.then(() => load(source)), Promise.resolve());
      load(url).then(() => {
        this._send = (data) => inner.dispatchEvent(new MessageEvent("message", { data }));
        this._waiting.forEach(this._send);
      });
    }

    postMessage(data) {
      if (this._send) this._send(data);
      else this._waiting.push(data);
    }
  };
}
