import * as z from 'zod';
import { profiles } from '../core/verification.ts';
import { DURATION_FORM, parseMilliseconds } from './duration.ts';
import { bytes, decimal, flag } from './scalars.ts';
import { Secret } from './secret.ts';

const text = z.string();

export const milliseconds = z
  .string()
  .refine((value) => parseMilliseconds(value) !== undefined, `must be a duration: ${DURATION_FORM.replace(', 13mo, 1y', '')}`)
  .transform((value) => parseMilliseconds(value) ?? 0);

/** To the server and to an objective alike, 0 would mean "without limit" or "never met". */
const someMilliseconds = milliseconds.refine((value) => value > 0, 'must be longer than nothing');

const distinctNames = <T extends z.ZodType<{ name: string }[]>>(schema: T) =>
  schema.superRefine((items, context) => {
    items.forEach(({ name }, index) => {
      if (items.findIndex((other) => other.name === name) !== index) {
        context.addIssue({ code: 'custom', path: [index, 'name'], message: `"${name}" is there twice` });
      }
    });
  });

const named = { name: text.min(1), sql: text.min(1) };

/** Queries run in the restored database; the first column of the only row must be what `expect` says, or true. */
const queries = distinctNames(z.array(z.strictObject({ ...named, expect: text.optional() }))).default([]);
/** Queries whose value is taken in the dump's own snapshot, and must be the same in the restored database. */
const values = distinctNames(z.array(z.strictObject(named))).default([]);

const identifier = '[A-Za-z_][A-Za-z0-9_$]{0,62}';
/** Never a bare name: `canary: no` or `off` would make a table of that name in somebody's database. */
const canary = z
  .string()
  .refine((value) => new RegExp(`^(false|true|${identifier}\\.${identifier})$`).test(value), {
    message: 'must be true, false, or schema.table',
    params: { remedy: 'true means public.jetbackup_canary. The table is made by the backup, and is for nothing else.' },
  })
  .transform((value) => {
    if (value === 'false') return undefined;
    const [schema = '', table = ''] = (value === 'true' ? 'public.jetbackup_canary' : value).split('.');
    return { schema, table };
  });

/** In a database: what is particular to its content. */
export const databaseVerifyFields = {
  queries,
  values,
  canary: canary.optional(),
  objectives: z.strictObject({ rpo: someMilliseconds.optional(), rto: someMilliseconds.optional() }).optional(),
};

const DEFAULT_AMCHECK_BYTES = 1e9;
/** A server with fewer does not start, and says so far less plainly. */
const LEAST_MEMORY_BYTES = 64e6;

const amcheck = z.string().transform((value, context) => {
  if (value === 'off') return 0;
  if (value === 'all') return Number.MAX_SAFE_INTEGER;
  const read = bytes.safeParse(value);
  if (read.success) return read.data;
  context.addIssue({ code: 'custom', message: 'must be off, all or a size', params: { remedy: 'Write off, all, 500MB, 1GB or 1GiB.' } });
  return z.NEVER;
});

/** What is two days old is swept as a dead run's. */
const MOST_TIMEOUT_MS = 36 * 3_600_000;

/** `verify:` as it is written. */
export const VerifySchema = z.strictObject({
  /** auto: a container where there is an engine, else, run by root, this machine's own programs. */
  sandbox: text
    .refine((value) => ['auto', 'container', 'local'].includes(value) || /^postgres(ql)?:\/\//.test(value), {
      message: 'is no kind of sandbox',
      params: { remedy: 'Use auto, container, local, or the URL of a server: postgres://user@host/.' },
    })
    .default('auto'),
  profile: z.enum(profiles).default('fast'),
  /** `{major}` stands for the source's major version. */
  image: text.default('postgres:{major}'),
  memory: bytes.refine((value) => value >= LEAST_MEMORY_BYTES, 'must be 64MB at least').optional(),
  cpus: decimal(0.1, 1024).optional(),
  /** Where the sandbox keeps its data: in memory where there is plenty, else on disk. */
  storage: z.enum(['auto', 'memory', 'disk']).default('auto'),
  /** Of `local`: where its folder is made. */
  directory: text.optional(),
  /** Of `container`: whether rows may travel in clear to an engine on another machine. */
  plaintext: flag.default(false),
  /** Of `container`: whether testcontainers' Ryuk is started beside it. */
  reaper: flag.default(false),
  settings: z.record(z.string().regex(/^[a-z_][a-z0-9_.]*$/i, 'is not the name of a setting of PostgreSQL'), text).default({}),
  amcheck: amcheck.default(DEFAULT_AMCHECK_BYTES),
  timeout: milliseconds.refine((ms) => ms <= MOST_TIMEOUT_MS, 'must be 36h or less').default(24 * 3_600_000),
  queryTimeout: someMilliseconds.default(60_000),
  afterBackup: flag.default(false),
  queries,
});
type Parsed = z.output<typeof VerifySchema>;

export interface VerifyConfig {
  readonly sandbox: 'auto' | 'container' | 'local' | Secret;
  readonly profile: Parsed['profile'];
  readonly image: string;
  readonly memoryBytes: number | undefined;
  readonly cpus: number | undefined;
  readonly storage: Parsed['storage'];
  readonly directory: string | undefined;
  readonly plaintext: boolean;
  readonly reaper: boolean;
  /** Of PostgreSQL, for a sandbox of our own. */
  readonly settings: Readonly<Record<string, string>>;
  readonly amcheckBytes: number;
  readonly timeoutMs: number;
  readonly queryTimeoutMs: number;
  readonly afterBackup: boolean;
  /** Of every database; each may have further ones. */
  readonly queries: readonly { readonly name: string; readonly sql: string; readonly expect: string | undefined }[];
}

export function verifyOf(parsed: Parsed, absolute: (path: string) => string): VerifyConfig {
  const { sandbox, memory, amcheck, queryTimeout, directory } = parsed;
  const kind = sandbox === 'auto' || sandbox === 'container' || sandbox === 'local' ? sandbox : new Secret(sandbox);
  return {
    sandbox: kind,
    profile: parsed.profile,
    image: parsed.image,
    memoryBytes: memory,
    cpus: parsed.cpus,
    storage: parsed.storage,
    directory: directory === undefined ? undefined : absolute(directory),
    plaintext: parsed.plaintext,
    reaper: parsed.reaper,
    settings: parsed.settings,
    amcheckBytes: amcheck,
    timeoutMs: parsed.timeout,
    queryTimeoutMs: queryTimeout,
    afterBackup: parsed.afterBackup,
    queries: parsed.queries.map(({ name, sql, expect }) => ({ name, sql, expect })),
  };
}

export interface Objectives {
  readonly rpoMs: number | undefined;
  readonly rtoMs: number | undefined;
}

type ParsedObjectives = { readonly rpo?: number | undefined; readonly rto?: number | undefined } | undefined;

/** A database's own objectives stand before those of all, one by one: an RTO of its own does not take away the common RPO. */
export function objectivesOf(own: ParsedObjectives, common: ParsedObjectives): Objectives {
  return { rpoMs: own?.rpo ?? common?.rpo, rtoMs: own?.rto ?? common?.rto };
}
