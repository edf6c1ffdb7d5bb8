import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MiB } from '../../../src/core/bytes.ts';
import { profiles } from '../../../src/core/verification.ts';
import { outputText } from '../../../src/verify/sandboxes/container-output.ts';
import { type EngineRoom, planRoom, type RoomWanted } from '../../../src/verify/sandboxes/container-room.ts';

const GiB = 1024 * MiB;
const engine: EngineRoom = { memoryBytes: 16 * GiB, freeMemoryBytes: undefined, freeDiskBytes: undefined };
const wanted: RoomWanted = { databaseBytes: GiB, profile: 'fast', storage: 'auto', memoryBytes: undefined };

describe('the room of a sandbox', () => {
  it('is half of the engine’s memory, in which a small database lies', () => {
    expect(planRoom(wanted, engine)).toEqual({ limitBytes: 8 * GiB, serverBytes: 5.5 * GiB, tmpfsBytes: 2.5 * GiB });
  });

  it.each<[string, Partial<RoomWanted>, Partial<EngineRoom>]>([
    ['a large one', { databaseBytes: 6 * GiB }, {}],
    ['a durable one', { profile: 'durable' }, {}],
    ['one of an engine whose memory others use', {}, { freeMemoryBytes: 3 * GiB }],
    ['one that is told to', { storage: 'disk' }, {}],
    ['one whose limit leaves the server little', { memoryBytes: 2.5 * GiB }, {}],
  ])('holds no data of %s: they lie on disk', (_, want, have) => {
    const room = planRoom({ ...wanted, ...want }, { ...engine, ...have });
    expect(room.tmpfsBytes).toBeUndefined();
    expect(room.serverBytes).toBe(room.limitBytes);
  });

  it('is refused, with the setting to change, where there is none', () => {
    expect(() => planRoom({ ...wanted, storage: 'memory', databaseBytes: 8 * GiB }, engine)).toThrow(
      expect.objectContaining({ code: 'sandbox-unavailable', hint: expect.stringContaining('verify.storage: disk') }),
    );
    expect(() => planRoom({ ...wanted, storage: 'disk' }, { ...engine, freeDiskBytes: GiB })).toThrow(
      expect.objectContaining({ code: 'sandbox-unavailable', message: expect.stringContaining('1.0 GiB are free') }),
    );
  });

  it('never gives away more than the limit, nor less memory for data than the database has', () => {
    const sizes = fc.integer({ min: 0, max: 64 * 1024 }).map((mebibytes) => mebibytes * MiB);
    fc.assert(
      fc.property(sizes, sizes, fc.constantFrom(...profiles), fc.nat(7), (databaseBytes, limit, profile, odd) => {
        const memoryBytes = limit + 256 * MiB + odd;
        const { limitBytes, serverBytes, tmpfsBytes = 0 } = planRoom({ databaseBytes, profile, storage: 'auto', memoryBytes }, engine);
        expect(limitBytes).toBe(memoryBytes);
        expect(serverBytes + tmpfsBytes).toBe(limitBytes);
        // The kernel mounts no file system with half a byte.
        expect([serverBytes, tmpfsBytes].every(Number.isInteger)).toBe(true);
        if (tmpfsBytes > 0) expect(tmpfsBytes).toBeGreaterThan(databaseBytes);
      }),
    );
  });
});

describe('what a container wrote', () => {
  it('is the text of its frames, of stdout and stderr', () => {
    const frame = (stream: number, text: string) => {
      const body = Buffer.from(text);
      const header = Buffer.alloc(8);
      header[0] = stream;
      header.writeUInt32BE(body.length, 4);
      return Buffer.concat([header, body]);
    };
    const frames = Buffer.concat([frame(1, 'one\n'), frame(2, 'zwei ü\n'), frame(1, 'cut')]);
    expect(outputText(frames)).toBe('one\nzwei ü\ncut');
    expect(outputText(frames.subarray(0, -1))).toBe('one\nzwei ü\ncu');
    expect(outputText(Buffer.alloc(0))).toBe('');
  });
});
