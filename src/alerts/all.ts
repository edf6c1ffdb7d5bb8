import type { AlertFilter, AlertTarget, Heartbeat } from './alert.ts';
import type { AttemptDeps } from './attempts.ts';
import { type EmailSettings, emailChannel } from './email.ts';
import { type HeartbeatSettings, httpHeartbeat } from './heartbeat.ts';
import { type PagerDutySettings, pagerDutyChannel } from './pagerduty.ts';
import { type SlackSettings, slackChannel } from './slack.ts';
import { type WebhookSettings, webhookChannel } from './webhook.ts';

/** What is configured under `alerts`. */
export type AlertSetting =
  | ({ readonly kind: 'slack'; readonly filter: AlertFilter } & SlackSettings)
  | ({ readonly kind: 'pagerduty'; readonly filter: AlertFilter } & Omit<PagerDutySettings, 'source'>)
  | ({ readonly kind: 'email'; readonly filter: AlertFilter } & EmailSettings)
  | ({ readonly kind: 'webhook'; readonly filter: AlertFilter } & WebhookSettings)
  | ({ readonly kind: 'heartbeat' } & HeartbeatSettings);

/** The channels and heartbeats of a configuration. Nothing is contacted. `source` is the name of this host. */
export function openAlerts(
  deps: AttemptDeps,
  source: string,
  settings: readonly AlertSetting[],
): { readonly targets: readonly AlertTarget[]; readonly heartbeats: readonly Heartbeat[] } {
  const heartbeats = settings.flatMap((setting) => (setting.kind === 'heartbeat' ? httpHeartbeat(deps, setting) : []));
  const targets = settings.flatMap((setting) => {
    if (setting.kind === 'heartbeat') return [];
    return { channel: channelOf(deps, source, setting), filter: setting.filter };
  });
  return { targets, heartbeats };
}

function channelOf(deps: AttemptDeps, source: string, setting: Exclude<AlertSetting, { kind: 'heartbeat' }>) {
  if (setting.kind === 'slack') return slackChannel(deps, setting);
  if (setting.kind === 'pagerduty') return pagerDutyChannel(deps, { ...setting, source });
  if (setting.kind === 'email') return emailChannel(deps, setting);
  return webhookChannel(deps, source, setting);
}
