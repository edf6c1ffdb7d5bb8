/** A number as pg_dump writes it with integers of four bytes: its sign, then the least significant byte first. */
export function int(value: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt8(value < 0 ? 1 : 0, 0);
  bytes.writeUInt32LE(Math.abs(value), 1);
  return bytes;
}

/** A string as pg_dump writes it: its length in bytes, -1 for none, and they. */
export function text(value: string | null): Buffer {
  return value === null ? int(-1) : Buffer.concat([int(Buffer.byteLength(value)), Buffer.from(value)]);
}
