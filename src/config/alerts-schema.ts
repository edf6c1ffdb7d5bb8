import * as z from 'zod';
import { beatingOperations, ruleIds, severities } from '../core/alert.ts';
import { didYouMean } from './problems.ts';
import { flag, whole } from './scalars.ts';
import { milliseconds } from './verify.ts';

/* `alerts:` and `alertPolicy:` as they are written. */

const text = z.string();
const texts = z.union([text.transform((value) => [value]), z.array(text)]);

/** One of them, or a list. Not a union of enums: what it says about a wrong word would be nothing about words. */
const someOf = <T extends string>(allowed: readonly T[], what: string) =>
  texts.transform((values, context) =>
    values.flatMap((value) => {
      const known = allowed.find((candidate) => candidate === value);
      if (known !== undefined) return [known];
      const meant = didYouMean(value, allowed);
      const message = `"${value}" is no ${what}${meant === undefined ? '' : `; ${meant}`}`;
      context.addIssue({ code: 'custom', message, params: { remedy: `Known: ${allowed.join(', ')}.` } });
      return [];
    }),
  );

/** Of a channel, so that two of a kind can be told apart; its kind where there is only one. */
const name = text.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'letters, digits, ".", "_" and "-"; at most 63').optional();

const filter = {
  severity: z.enum(severities).optional(),
  rules: someOf(ruleIds, 'rule').optional(),
  databases: texts.optional(),
};

/** Problems of a URL never show it: its path is what lets somebody post there. */
const httpUrl = text.superRefine((value, context) => {
  const problem = (message: string, remedy: string) => void context.addIssue({ code: 'custom', message, params: { remedy } });
  const url = URL.parse(value);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    return problem('is not the URL of a receiver', 'Write https://HOST/PATH.');
  if (url.username !== '' || url.password !== '')
    problem('must not hold a user or a password', 'Put the secret into the path, or take a receiver that checks the signature.');
});

/** What goes over plain HTTP can be read and forged on its way; on this machine itself there is no way. */
const encrypted = <T extends z.ZodType<{ url: string; allowHttp: boolean }>>(schema: T) =>
  schema.superRefine(({ url, allowHttp }, context) => {
    const parsed = URL.parse(url);
    if (parsed?.protocol !== 'http:' || allowHttp || ['localhost', '127.0.0.1', '[::1]'].includes(parsed.hostname)) return;
    const remedy = 'Use https://, or set allowHttp: true where the network between is trusted.';
    context.addIssue({ code: 'custom', path: ['url'], message: 'is not encrypted', params: { remedy } });
  });

const slack = encrypted(z.strictObject({ name, url: httpUrl, allowHttp: flag.default(false), ...filter }));

const pagerduty = z.strictObject({
  name,
  routingKey: text.regex(/^[A-Za-z0-9]{32}$/, 'must be the 32 letters and digits of an Events API v2 integration key'),
  region: z.enum(['us', 'eu']).default('us'),
  ...filter,
});

const ADDRESS = /^(?:[^<>@\r\n]*<[^<>@\s]+@[^<>@\s]+>|[^<>@\s,]+@[^<>@\s,]+)$/;
const address = text.regex(ADDRESS, 'must be an address: ops@example.com, or Name <ops@example.com>');
const addresses = texts.superRefine((values, context) => {
  for (const value of values) {
    if (!ADDRESS.test(value))
      context.addIssue({
        code: 'custom',
        message: `"${value}" is no address`,
        params: { remedy: 'Write ops@example.com, or Name <ops@example.com>.' },
      });
  }
});

const email = z
  .strictObject({
    name,
    host: text.min(1),
    port: whole(1, 65_535).optional(),
    tls: z.enum(['starttls', 'implicit', 'off']).default('starttls'),
    caFile: text.optional(),
    user: text.optional(),
    password: text.optional(),
    from: address,
    to: addresses,
    ...filter,
  })
  .superRefine(({ user, password, tls }, context) => {
    if ((user === undefined) !== (password === undefined)) {
      const missing = user === undefined ? 'user' : 'password';
      context.addIssue({
        code: 'custom',
        path: [missing],
        message: 'user and password belong together',
        params: { remedy: `Add ${missing}: …` },
      });
    }
    if (password !== undefined && tls === 'off') {
      context.addIssue({
        code: 'custom',
        path: ['tls'],
        message: 'a password must not go over a connection that is not encrypted',
        params: { remedy: 'Use tls: starttls (port 587) or tls: implicit (port 465).' },
      });
    }
  });

const webhook = encrypted(
  z.strictObject({
    name,
    url: httpUrl,
    secret: text.min(16, 'must have 16 characters at least: openssl rand -hex 32'),
    allowHttp: flag.default(false),
    ...filter,
  }),
);

const heartbeat = encrypted(
  z.strictObject({
    name,
    url: httpUrl,
    allowHttp: flag.default(false),
    operations: someOf(beatingOperations, 'kind of run').default(['backup']),
    databases: texts.optional(),
  }),
);

const kinds = ['slack', 'pagerduty', 'email', 'webhook', 'heartbeat'] as const;
type Kind = (typeof kinds)[number];

const AlertSchema = z
  .strictObject({
    slack: slack.optional(),
    pagerduty: pagerduty.optional(),
    email: email.optional(),
    webhook: webhook.optional(),
    heartbeat: heartbeat.optional(),
  })
  .refine((alert) => kinds.filter((kind) => alert[kind] !== undefined).length === 1, {
    message: 'each item is one channel',
    params: { remedy: `Write one of: ${kinds.join(', ')}.` },
    // A misspelt kind has been told of already.
    when: ({ issues }) => issues.length === 0,
  });
export type ParsedAlert = z.output<typeof AlertSchema>;

/** Two channels of one name could not be told apart in reports, nor in what is remembered of them. */
export const AlertsSchema = z
  .array(AlertSchema)
  .superRefine((alerts, context) => {
    const names = alerts.map(nameOf);
    names.forEach(({ kind, name: own }, index) => {
      if (names.findIndex((other) => other.name === own) === index) return;
      const remedy = 'Give each a name of its own: name: …';
      context.addIssue({
        code: 'custom',
        path: [index, kind],
        message: `there is another channel called "${own}" above`,
        params: { remedy },
      });
    });
  })
  .default([]);

/** Its own name, or that of its kind. */
export function nameOf(alert: ParsedAlert): { kind: Kind; name: string } {
  const kind = kinds.find((candidate) => alert[candidate] !== undefined) ?? 'slack';
  return { kind, name: alert[kind]?.name ?? kind };
}

const share = text
  .refine((value) => /^[1-9]\d?\s*%$/.test(value), { message: 'must be a share from 1% to 99%', params: { remedy: 'Write 70%.' } })
  .transform((value) => Number.parseInt(value, 10) / 100);

/** Milliseconds, or null for off. */
const orOff = text
  .refine((value) => value === 'off' || milliseconds.safeParse(value).success, {
    message: 'must be a duration, or off',
    params: { remedy: 'Write 4h, 8d, or off.' },
  })
  .transform((value) => (value === 'off' ? null : milliseconds.parse(value)));

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** When something is raised, and how often it is told again. */
export const AlertPolicySchema = z
  .strictObject({
    provenWithin: orOff.default(8 * DAY_MS),
    storage: share.default(0.7),
    storageCritical: share.default(0.9),
    escrowEvery: orOff.default(180 * DAY_MS),
    rotationNotice: milliseconds.default(30 * DAY_MS),
    forecastNotice: milliseconds.default(90 * DAY_MS),
    repeatCritical: orOff.default(4 * HOUR_MS),
    repeatWarning: orOff.default(DAY_MS),
    repeatInfo: orOff.default(7 * DAY_MS),
  })
  .superRefine(({ storage, storageCritical }, context) => {
    if (storageCritical >= storage) return;
    const params = { remedy: 'Write storage: 70% and storageCritical: 90%.' };
    context.addIssue({ code: 'custom', path: ['storage'], message: 'is above storageCritical', params });
  })
  .prefault({});
export type AlertPolicyConfig = z.output<typeof AlertPolicySchema>;

/** A filter on a database that is not there would keep everything from the channel, silently. */
export function unknownDatabases(
  { alerts, databases }: { readonly alerts: readonly ParsedAlert[]; readonly databases: readonly { readonly name: string }[] },
  context: z.RefinementCtx,
): void {
  const known = databases.map(({ name }) => name);
  alerts.forEach((alert, index) => {
    const { kind } = nameOf(alert);
    for (const wanted of alert[kind]?.databases ?? []) {
      if (known.includes(wanted)) continue;
      const meant = didYouMean(wanted, known);
      const message = `no database "${wanted}" is configured${meant === undefined ? '' : `; ${meant}`}`;
      context.addIssue({ code: 'custom', path: ['alerts', index, kind, 'databases'], message });
    }
  });
}
