import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import { type BlockEvent, followBlocks, integerSize } from './archive-blocks.ts';

/**
 * Bytes of rows that go to one lane before another may have the next ones: few enough that rows stay near their neighbours
 * on disk, so that a BRIN index stays of use, and enough that the turns cost nothing.
 */
const BATCH_BYTES = 512 * 1024;
/** Bytes that may wait for a busy lane while another one is hungry. */
const WAITING_BYTES = 1024 * 1024;

const NEWLINE = 0x0a;

interface Lane {
  readonly waiting: Uint8Array[];
  bytes: number;
  closed: boolean;
  /** Set while its reader waits. */
  hungry: (() => void) | undefined;
}

export interface Dealing {
  readonly head: Uint8Array;
  readonly rest: ByteStream;
  /** Dump ids of tables. */
  readonly shared: ReadonlySet<number>;
  /** Told of each block that was read to its end: its dump id, and how many bytes it has after that. */
  readonly onBlock?: (id: number, bytes: number) => void;
}

/**
 * Deals an archive out to several, each for a pg_restore of its own: every lane has the block of every table of `shared` (dump
 * ids), with a part of its rows, so that several backends parse even one dominant table. All other blocks, and large objects,
 * go to the first lane whole. A batch of rows goes to
 * whichever lane has least to do. A row ends with a newline, which COPY's text format escapes everywhere else, and stays in
 * one lane.
 *
 * Every lane begins with `head`; `rest` is what follows it. Every lane throws what `rest` throws, and
 * `damaged` where it has no blocks. A lane that is left gets no further rows; `rest` is read no further than the lanes
 * want, and is not returned. Memory: some 2 MiB for each lane.
 */
export function dealRows({ head, rest, shared, onBlock = () => {} }: Dealing, count: number): readonly ByteStream[] {
  const lanes: Lane[] = Array.from({ length: count }, () => ({
    ...{ waiting: [head], bytes: head.byteLength, closed: false, hungry: undefined },
  }));
  const deal = dealer(lanes, integerSize(head), shared, onBlock);
  const source = rest[Symbol.asyncIterator]();
  let end: { readonly error?: unknown } | undefined;
  let reading = false;

  const wake = (lane: Lane) => {
    const { hungry } = lane;
    lane.hungry = undefined;
    hungry?.();
  };
  /** One at a time: whoever is hungry reads for all. */
  const read = async () => {
    reading = true;
    while (end === undefined && lanes.some(({ hungry }) => hungry !== undefined) && (deal.owner()?.bytes ?? 0) < WAITING_BYTES) {
      try {
        const step = await source.next();
        if (step.done === true) end = {};
        else deal.chunk(step.value);
      } catch (error) {
        end = { error };
      }
      for (const lane of lanes) if (lane.waiting.length > 0 || end !== undefined) wake(lane);
    }
    reading = false;
  };

  const next = async (lane: Lane): Promise<IteratorResult<Uint8Array, undefined>> => {
    for (;;) {
      const piece = lane.waiting.shift();
      if (piece !== undefined) {
        lane.bytes -= piece.byteLength;
        return { done: false, value: piece };
      }
      if (end !== undefined && 'error' in end) throw end.error;
      if (end !== undefined || lane.closed) return { done: true, value: undefined };
      const fed = new Promise<void>((resolve) => {
        lane.hungry = resolve;
      });
      if (!reading) void read();
      await fed;
    }
  };
  // Not generators: they could not be left while they wait, and the rows of one that its reader has left would go nowhere.
  return lanes.map((lane) => ({
    [Symbol.asyncIterator]: () => ({
      next: () => next(lane),
      async return() {
        lane.closed = true;
        lane.waiting.length = 0;
        lane.bytes = 0;
        wake(lane);
        return { done: true, value: undefined };
      },
    }),
  }));
}

/** Splits chunk after chunk, and gives each piece to the lane or lanes that it is for. */
function dealer(
  lanes: readonly Lane[],
  intSize: number,
  shared: ReadonlySet<number>,
  onBlock: (id: number, bytes: number) => void,
): { chunk(bytes: Uint8Array): void; owner(): Lane | undefined } {
  /** Whose rows these are, from the first of a batch to its last. */
  let owner: Lane | undefined;
  let batch = 0;
  let chunk: Uint8Array = new Uint8Array(0);
  /** Bytes of the chunk that were given to somebody, and where its last row ends. */
  let given = 0;
  let rowEnd = 0;
  /** What came at the end of earlier chunks and may be for all: the beginning of a length, which may be that of the end mark. */
  let held: Uint8Array[] = [];
  /** Bytes that came before this chunk, and before the first chunk of this block. */
  let before = 0;
  let begun = 0;

  const give = (lane: Lane, bytes: Uint8Array) => {
    if (lane.closed || bytes.byteLength === 0) return;
    lane.waiting.push(bytes);
    lane.bytes += bytes.byteLength;
  };
  const giveTo = (to: readonly Lane[], offset: number) => {
    for (const lane of to) for (const bytes of [...held, chunk.subarray(given, offset)]) give(lane, bytes);
    held = [];
    given = offset;
  };
  const giveRows = (offset: number) => {
    if (offset <= given) return;
    owner ??= lanes.filter(({ closed }) => !closed).toSorted((a, b) => a.bytes - b.bytes)[0];
    batch += offset - given;
    giveTo(owner === undefined ? [] : [owner], offset);
  };
  const nextBatch = () => {
    owner = undefined;
    batch = 0;
  };
  const firstLane = lanes.slice(0, 1);
  /** Within a block that is not to be divided. */
  let whole = false;

  const on = (event: BlockEvent, offset: number) => {
    if (event === 'end') onBlock(blocks.id, before + offset - begun);
    if (event === 'begin') {
      begun = before + offset;
      whole = blocks.withinLargeObjects || !shared.has(blocks.id);
      giveTo(whole ? firstLane : lanes, offset);
      nextBatch();
    } else if (whole) {
      if (event === 'row') return;
      giveTo(firstLane, offset);
      whole = false;
    } else if (event === 'row') {
      rowEnd = offset;
      if (batch + offset - given >= BATCH_BYTES && chunk[offset - 1] === NEWLINE) {
        giveRows(offset);
        nextBatch();
      }
    } else {
      giveRows(rowEnd);
      giveTo(lanes, offset);
      nextBatch();
    }
  };
  const blocks = followBlocks(intSize, (what) => new JetbackupError('damaged', `the dump is damaged: ${what}`), on);

  return {
    owner: () => (whole ? lanes[0] : owner),
    chunk(bytes) {
      chunk = bytes;
      given = 0;
      rowEnd = 0;
      blocks.follow(bytes);
      if (whole) giveTo(firstLane, bytes.byteLength);
      else if (blocks.inRow) giveRows(bytes.byteLength);
      else {
        giveRows(rowEnd);
        if (given < bytes.byteLength) held.push(bytes.subarray(given));
      }
      before += bytes.byteLength;
    },
  };
}
