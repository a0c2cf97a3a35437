// Search in pages that were opened as files. Browsers refuse to start a worker from a file, so the
// worker's script runs in a hidden frame instead. Elsewhere nothing changes.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inner = frame.contentWindow;
      // What the script posts arrives here; `importScripts` adds the scripts to the frame.
      this.inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.inner.importScripts = (...urls) => Promise.all(urls.map((one) => this.load(one)));
      this.ready = this.load(url);
    }
    load(url) {
      return new Promise((resolve, reject) => {
        const script = this.inner.document.createElement("script");
        script.src = new URL(url, location.href);
        script.onload = resolve;
        script.onerror = reject;
        this.inner.document.body.append(script);
      });
    }
    postMessage(data) {
      const event = new this.inner.MessageEvent("message", { data });
      this.ready.then(() => this.inner.dispatchEvent(event));
    }
    terminate() {
      this.inner.frameElement.remove();
    }
  };
}
