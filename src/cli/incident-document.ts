import * as z from 'zod';
import { ruleIds, severities } from '../core/alert.ts';
import type { OpenIncident } from '../operations/acknowledge.ts';

/* Open incidents as `--json` prints them (docs/JSON.md). */

const Instant = z.iso.datetime({ offset: true });

const IncidentDocument = z.strictObject({
  key: z.string(),
  rule: z.enum(ruleIds),
  database: z.string().nullable(),
  /** What it is about, where that is no database: the name of a channel. */
  subject: z.string().nullable(),
  severity: z.enum(severities),
  summary: z.string(),
  detail: z.array(z.string()),
  hint: z.string().nullable(),
  since: Instant,
  /** When it was told last. */
  toldAt: Instant.nullable(),
  acknowledged: z.strictObject({ by: z.string(), reason: z.string().nullable(), until: Instant.nullable() }).nullable(),
});

export const AlertsListDocument = z.strictObject({
  command: z.literal('alerts list'),
  /** The most severe first, then the oldest. */
  incidents: z.array(IncidentDocument),
  /** What was told cannot be read; nothing is known to be open. */
  damaged: z.boolean(),
});

export const AlertsAckDocument = z.strictObject({
  command: z.literal('alerts ack'),
  /** False: a service tells alerts at this moment, and takes it with its next round. */
  applied: z.boolean(),
  reason: z.string(),
  until: Instant.nullable(),
  incidents: z.array(IncidentDocument),
});

export function incidentDocument({ key, incident }: OpenIncident): z.infer<typeof IncidentDocument> {
  const { rule, database, subject, severity, summary, detail, hint, since, toldAt, acknowledged } = incident;
  const by = acknowledged === null ? null : { by: acknowledged.by, reason: acknowledged.reason ?? null, until: acknowledged.until };
  return { key, rule, database, subject, severity, summary, detail, hint, since, toldAt, acknowledged: by };
}
