import { bytesOf } from '../../src/core/bytes.ts';
import type { DatabaseSource } from '../../src/operations/backup-attempt.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { noFingerprint } from '../../src/postgres/fingerprint.ts';
import { int, text } from './archive-bytes.ts';
import { sampleManifest } from './manifest.ts';

/** A custom-format archive (1.14) of one table with these rows. */
export function smallArchive(rows: readonly string[]): Buffer {
  const times = Array.from({ length: 7 }, () => int(1));
  const header = [Buffer.from('PGDMP'), Buffer.of(1, 14, 0, 4, 8, 1), int(0), ...times, text('db'), text('15.8'), text('15.8')];
  const entry = [
    ...[int(9), int(1), text('1259'), text('16400'), text('t'), text('TABLE DATA'), int(3), text(''), text(''), text('COPY t FROM stdin;')],
    ...[text('public'), text(''), text('heap'), text('app'), text('false'), text(null), Buffer.alloc(9)],
  ];
  const data = rows.flatMap((row) => [int(Buffer.byteLength(row)), Buffer.from(row)]);
  return Buffer.concat([...header, int(1), ...entry, Buffer.of(1), int(9), ...data, int(0)]);
}

/**
 * A database for tests in which time flies and the database does not matter: it shows `rows()` at the clock's instant. `rows` may
 * throw what a dump may.
 */
export function smallDatabase(clock: Clock, rows: () => readonly string[]): DatabaseSource {
  const { server, source } = sampleManifest();
  const tools = {
    major: 15,
    minor: 8,
    version: 'pg_dump (PostgreSQL) 15.8',
    directory: '',
    pgDump: '',
    pgRestore: '',
    pgDumpall: '',
    warnings: [],
  };
  return {
    exportSnapshot: async (settings, { onLocked }) => {
      await onLocked?.(settings);
      return {
        id: 'simulated',
        instant: clock.now(),
        server,
        instance: 'simulated',
        source,
        settings,
        warnings: [],
        assertHeld: async () => {},
        [Symbol.asyncDispose]: async () => {},
      };
    },
    writeCanary: async () => undefined,
    findTools: async () => tools,
    dumpGlobals: async () => ({ stream: bytesOf('-- roles\n'), warnings: [] }),
    async *dumpDatabase() {
      yield smallArchive(rows());
    },
    takeFingerprint: async () => noFingerprint,
  };
}
