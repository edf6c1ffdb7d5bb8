/**
 * `node scripts/bench/crypto.ts [MiB]`: sealing and opening here against the payload of the age-encryption package,
 * in one process and one run, so that the ratio means something on any machine.
 */
import { randomBytes } from 'node:crypto';
import { Decrypter, Encrypter } from 'age-encryption';
import { type ByteStream, MiB } from '../../src/core/bytes.ts';
import { createOpener, createSealer } from '../../src/crypto/age.ts';
import { generateIdentity, parseIdentities } from '../../src/crypto/identities.ts';

const mebibytes = Number(process.argv[2] ?? 256);
const { identity, recipient } = await generateIdentity();
const sealer = createSealer([recipient]);
const opener = createOpener(parseIdentities(identity, 'the benchmark'));
// About what one compressed block measures: not a multiple of age's chunk, as in a real backup.
const block = randomBytes(150_000);

async function* plain(bytes: number): ByteStream {
  for (let left = bytes; left > 0; left -= block.byteLength) yield block.subarray(0, Math.min(left, block.byteLength));
}

async function keep(stream: ByteStream): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

async function* each(chunks: readonly Uint8Array[]): ByteStream {
  yield* chunks;
}

/** MB/s of the whole stream: the best of three runs, the one that was disturbed least. */
async function rate(bytes: number, run: () => Promise<ByteStream> | ByteStream): Promise<number> {
  let best = 0;
  for (let round = 0; round < 3; round += 1) {
    const start = performance.now();
    for await (const _ of await run()) {
      // Only the way counts.
    }
    best = Math.max(best, bytes / 1000 / (performance.now() - start));
  }
  return best;
}

const web = (stream: ByteStream) => ReadableStream.from(stream) as ReadableStream<Uint8Array>;
const packageSeal = (bytes: number) => {
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  return encrypter.encrypt(web(plain(bytes)));
};
const packageOpen = (sealed: readonly Uint8Array[]) => {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  return decrypter.decrypt(web(each(sealed)));
};

const bytes = mebibytes * MiB;
const fewer = Math.ceil(bytes / 4);
const sealed = await keep(sealer.seal(plain(bytes)));
const sealedFewer = await keep(sealer.seal(plain(fewer)));

const here = { seal: await rate(bytes, () => sealer.seal(plain(bytes))), open: await rate(bytes, () => opener.open(each(sealed))) };
const there = { seal: await rate(fewer, () => packageSeal(fewer)), open: await rate(fewer, () => packageOpen(sealedFewer)) };

console.table(
  (['seal', 'open'] as const).map((step) => ({
    step,
    'here MB/s': Math.round(here[step]),
    'age-encryption MB/s': Math.round(there[step]),
    ratio: Number((here[step] / there[step]).toFixed(1)),
  })),
);
