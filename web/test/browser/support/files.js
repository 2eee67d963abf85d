// Pictures and videos that a page makes, and how they are attached.

/** A picture that a page has drawn. */
export async function drawing(page, width, height, type = "image/jpeg") {
  const bytes = await page.evaluate(
    async ([width, height, type]) => {
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      const pen = canvas.getContext("2d");
      const sky = pen.createLinearGradient(0, 0, 0, height);
      for (const [at, colour] of [[0, "#9bd"], [0.6, "#fda"], [1, "#156"]]) sky.addColorStop(at, colour);
      pen.fillStyle = sky;
      pen.fillRect(0, 0, width, height);
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, type, 0.9));
      return [...new Uint8Array(await blob.arrayBuffer())];
    },
    [width, height, type],
  );
  return Buffer.from(bytes);
}

/** A second of video that a page has recorded. */
export async function recording(page) {
  const bytes = await page.evaluate(async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
    const pen = canvas.getContext("2d");
    const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: "video/webm" });
    const parts = [];
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.start();
    for (let n = 0; n < 25; n++) {
      pen.fillStyle = `hsl(${n * 14}, 70%, 50%)`;
      pen.fillRect(0, 0, 320, 180);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const stopped = new Promise((resolve) => (recorder.onstop = resolve));
    recorder.stop();
    await stopped;
    return [...new Uint8Array(await new Blob(parts).arrayBuffer())];
  });
  return Buffer.from(bytes);
}

/** Attaches files by the button. */
export async function choose(page, ...files) {
  await page.click("#attach-button");
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#attach-files")]);
  await chooser.setFiles(files);
}
