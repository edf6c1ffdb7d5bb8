import * as z from 'zod';
import { type Policy, parseDuration, resolvePolicy } from '../../retention/policy.ts';
import { presetNames } from '../../retention/presets/presets.ts';
import { whole } from './scalars.ts';

/** What retention is to do with the backups of one database. */
export interface RetentionConfig {
  /** Without any setting the one that keeps everything. */
  readonly policy: Policy;
  /** Share of the median of earlier backups below which rows or size have collapsed, and deletion is frozen; 0: never. */
  readonly collapseRatio: number;
}

const DEFAULT_COLLAPSE = 0.5;

/** `most` is the component's own limit (`retention/policy.ts`). */
const count = whole(0, 100_000).optional();

const within = z.string().transform((text, context) => {
  const parsed = parseDuration(text);
  if (!('problem' in parsed)) return parsed;
  context.addIssue({ code: 'custom', message: parsed.problem });
  return z.NEVER;
});

const collapse = z
  .string()
  .refine((text) => text === 'off' || /^[1-9]\d?\s*%$/.test(text), {
    message: 'must be a share from 1% to 99%, or off',
    params: { remedy: 'collapse: 50% freezes deletion when a backup has less than half of what is usual; off turns that off.' },
  })
  .transform((text) => (text === 'off' ? 0 : Number.parseInt(text, 10) / 100));

/** `retention:` as it is written, at the top or in a database. Every number is text here, as everywhere in the configuration. */
export const RetentionSchema = z.strictObject({
  preset: z.enum(presetNames).optional(),
  hourly: count,
  daily: count,
  weekly: count,
  monthly: count,
  yearly: count,
  minimumKeep: count,
  keepWithin: within.optional(),
  collapse: collapse.optional(),
});

/** A database's own setting stands instead of the default, as a whole: two policies mixed key by key are a third that nobody wrote. */
export function retentionOf(...settings: readonly (z.output<typeof RetentionSchema> | undefined)[]): RetentionConfig {
  const setting = settings.find((one) => one !== undefined);
  if (setting === undefined) return { policy: resolvePolicy(undefined), collapseRatio: DEFAULT_COLLAPSE };
  const { collapse: collapseRatio = DEFAULT_COLLAPSE, ...policy } = setting;
  return { policy: resolvePolicy(policy), collapseRatio };
}

/** What retention is to do with these databases of the repository. Of one that is not configured here nothing ever goes. */
export function retentionInput<Name extends string>(
  config: {
    readonly timeZone: string;
    readonly databases: readonly { readonly name: string; readonly retention: RetentionConfig }[];
  },
  names: readonly Name[],
): { readonly timeZone: string; readonly databases: readonly ({ readonly database: Name } & RetentionConfig)[] } {
  return {
    timeZone: config.timeZone,
    databases: names.map((database) => ({
      database,
      ...(config.databases.find(({ name }) => name === database)?.retention ?? retentionOf()),
    })),
  };
}

/** `production-checklist`, `daily=7,weekly=4`, `production-checklist,yearly=3`: as the section that says the same. */
export function retentionSection(items: readonly string[]): { [key: string]: string } {
  const section: { [key: string]: string } = {};
  for (const item of items) {
    const at = item.indexOf('=');
    const [key, value] = at === -1 ? ['preset', item] : [item.slice(0, at).trim(), item.slice(at + 1).trim()];
    Object.defineProperty(section, key, { value, enumerable: true, writable: true, configurable: true });
  }
  return section;
}
