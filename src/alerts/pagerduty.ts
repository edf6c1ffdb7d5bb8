import type { AlertChannel, Notice, Sensitive } from './alert.ts';
import type { AttemptDeps } from './attempts.ts';
import { post } from './http.ts';

export interface PagerDutySettings {
  readonly name: string;
  /** The integration key of a service's Events API v2 integration. */
  readonly routingKey: Sensitive;
  /** `https://events.pagerduty.com/v2/enqueue`, or that of the EU region. */
  readonly endpoint: string;
  /** What raises: the name of this host. */
  readonly source: string;
}

export const pagerDutyEndpoints = {
  us: 'https://events.pagerduty.com/v2/enqueue',
  eu: 'https://events.eu.pagerduty.com/v2/enqueue',
} as const;

/** The longest summary and key that the API takes. */
const MAX_SUMMARY = 1024;
const MAX_KEY = 255;

const actions = { trigger: 'trigger', repeat: 'trigger', test: 'trigger', acknowledge: 'acknowledge', resolve: 'resolve' } as const;

/**
 * PagerDuty's Events API v2. A repeat is a trigger of the same key, which pages nobody again while the incident is open and
 * opens one where somebody has closed it too early. A test opens an incident and resolves it at once.
 */
export function pagerDutyChannel(deps: AttemptDeps, settings: PagerDutySettings): AlertChannel {
  const { name, routingKey, endpoint } = settings;
  const enqueue = async (event: object, signal: AbortSignal): Promise<void> => {
    const refusedHint = `Put the integration key of an Events API v2 integration into the alert "${name}", and choose the region of the account.`;
    const body = JSON.stringify({ routing_key: routingKey.reveal(), ...event });
    await post(deps, { channel: name, url: { reveal: () => endpoint }, body, headers: () => ({}), refusedHint }, signal);
  };
  return {
    name,
    async send(notice, signal) {
      await enqueue(eventOf(notice, settings.source), signal);
      if (notice.kind === 'test') await enqueue({ event_action: 'resolve', dedup_key: keyOf(notice) }, signal);
    },
  };
}

function eventOf(notice: Notice, source: string): object {
  const action = actions[notice.kind];
  const identity = { event_action: action, dedup_key: keyOf(notice) };
  if (action !== 'trigger') return identity;
  const { rule, database, severity, summary, detail, hint, since, at } = notice;
  return {
    ...identity,
    client: 'jetbackup',
    payload: {
      summary: summary.slice(0, MAX_SUMMARY),
      source,
      // Its own four are these and `error`.
      severity,
      timestamp: at,
      component: database ?? 'repository',
      class: rule,
      custom_details: { detail, next: hint, since },
    },
  };
}

function keyOf({ dedupKey }: Notice): string {
  return dedupKey.slice(0, MAX_KEY);
}
