/**
 * The text in what the engine sends for logs and exec: frames with a header of eight bytes, of which the last four are the length
 * (Docker Engine API, "Stream format" of ContainerAttach). A frame that was cut off counts as far as it goes.
 */
export function outputText(frames: Uint8Array): string {
  const bytes = Buffer.from(frames);
  const parts: Buffer[] = [];
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    parts.push(bytes.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return Buffer.concat(parts).toString('utf8');
}
