import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { inPath } from '../../../scripts/prerequisites.ts';
import { createCodec } from '../../../src/compression/all.ts';
import { bytesOf, collect, MiB } from '../../../src/core/bytes.ts';
import { runProgram } from '../../support/stock-programs.ts';

const plain = Buffer.concat(
  Array.from({ length: 40_000 }, (_, row) => Buffer.from(`${row}\t${randomBytes(4).toString('hex')}\t{"tenant": ${row % 40}}\tactive\n`)),
);

const programs = [
  { program: 'gzip', codec: 'gzip', compress: ['-c'], decompress: ['-dc'], test: ['-t'] },
  { program: 'pigz', codec: 'gzip', compress: ['-c'], decompress: ['-dc'], test: ['-t'] },
  { program: 'zstd', codec: 'zstd', compress: ['-c'], decompress: ['-dc'], test: ['-t'] },
  { program: 'zstd', codec: 'zstd', compress: ['-c', '-T2', '-19', '--long=27'], decompress: ['-dc'], test: ['-t'] },
] as const;

for (const { program, codec: name, ...args } of programs) {
  const present = await inPath(program);
  describe.skipIf(!present)(`${program} ${args.compress.join(' ')}`, () => {
    const codec = createCodec(name);

    test.each([0, 1, MiB, plain.byteLength])('reads what is compressed here: %i bytes', async (size) => {
      const content = plain.subarray(0, size);
      const file = await collect(codec.compress(bytesOf(content)), 64 * MiB);
      const { code, stdout, stderr } = await runProgram(program, args.decompress, file);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(content.equals(stdout)).toBe(true);
      expect((await runProgram(program, args.test, file)).code).toBe(0);
    });

    test.each([0, 1, plain.byteLength])('makes what is read here: %i bytes, once and twice in a row', async (size) => {
      const content = plain.subarray(0, size);
      const { stdout } = await runProgram(program, args.compress, content);
      expect(content.equals(await collect(codec.decompress(bytesOf(stdout)), 64 * MiB))).toBe(true);
      const twice = await collect(codec.decompress(bytesOf(Buffer.concat([stdout, stdout]))), 64 * MiB);
      expect(Buffer.concat([content, content]).equals(twice)).toBe(true);
    });
  });
}
