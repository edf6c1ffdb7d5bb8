import type { BeatingOperation, RuleId, Severity } from '../core/alert.ts';
import { nameOf, type ParsedAlert } from './alerts-schema.ts';
import { Secret } from './secret.ts';

/* What `alerts:` comes to. The doors that it holds (URLs of incoming webhooks among them) are secrets. */

interface Filter {
  readonly severity: Severity;
  readonly rules: readonly RuleId[] | undefined;
  readonly databases: readonly string[] | undefined;
}

export type AlertConfig =
  | { readonly kind: 'slack'; readonly name: string; readonly url: Secret; readonly filter: Filter }
  | {
      readonly kind: 'pagerduty';
      readonly name: string;
      readonly routingKey: Secret;
      readonly region: 'us' | 'eu';
      readonly filter: Filter;
    }
  | {
      readonly kind: 'email';
      readonly name: string;
      readonly host: string;
      readonly port: number;
      readonly tls: 'starttls' | 'implicit' | 'off';
      /** Absolute. */
      readonly caFile: string | undefined;
      readonly login: { readonly user: string; readonly password: Secret } | undefined;
      readonly from: string;
      readonly to: readonly string[];
      readonly filter: Filter;
    }
  | { readonly kind: 'webhook'; readonly name: string; readonly url: Secret; readonly secret: Secret; readonly filter: Filter }
  | {
      readonly kind: 'heartbeat';
      readonly name: string;
      readonly url: Secret;
      readonly operations: readonly BeatingOperation[];
      readonly databases: readonly string[] | undefined;
    };

/** The ports that servers listen on: submission, SMTPS, and the plain one. */
const ports = { starttls: 587, implicit: 465, off: 25 } as const;

export function alertsOf(parsed: readonly ParsedAlert[], absolute: (path: string, index: number) => string): AlertConfig[] {
  return parsed.map((alert, index): AlertConfig => {
    const { name: own } = nameOf(alert);
    if (alert.pagerduty !== undefined) {
      const { routingKey, region } = alert.pagerduty;
      // It wakes somebody up; who wants that for less says so.
      return { kind: 'pagerduty', name: own, routingKey: new Secret(routingKey), region, filter: filterOf(alert.pagerduty, 'critical') };
    }
    if (alert.email !== undefined) {
      const { host, port, tls, caFile, user, password, from, to } = alert.email;
      return {
        kind: 'email',
        name: own,
        host,
        port: port ?? ports[tls],
        tls,
        caFile: caFile === undefined ? undefined : absolute(caFile, index),
        login: user === undefined || password === undefined ? undefined : { user, password: new Secret(password) },
        from,
        to,
        filter: filterOf(alert.email, 'info'),
      };
    }
    if (alert.webhook !== undefined) {
      const { url, secret } = alert.webhook;
      return { kind: 'webhook', name: own, url: new Secret(url), secret: new Secret(secret), filter: filterOf(alert.webhook, 'info') };
    }
    if (alert.heartbeat !== undefined) {
      const { url, operations, databases } = alert.heartbeat;
      return { kind: 'heartbeat', name: own, url: new Secret(url), operations, databases };
    }
    return { kind: 'slack', name: own, url: new Secret(alert.slack?.url ?? ''), filter: filterOf(alert.slack ?? {}, 'info') };
  });
}

function filterOf(
  { severity, rules, databases }: { severity?: Severity | undefined; rules?: RuleId[] | undefined; databases?: string[] | undefined },
  least: Severity,
): Filter {
  return { severity: severity ?? least, rules, databases };
}

/** Shorter paths are words like any other, which must not vanish from messages. */
const SECRET_PATH = 16;

/** Every value by which somebody could post where only we should, for `redactor`. */
export function alertSecrets(alerts: readonly AlertConfig[]): Secret[] {
  return alerts.flatMap((alert) => {
    if (alert.kind === 'pagerduty') return [alert.routingKey];
    if (alert.kind === 'email') return alert.login === undefined ? [] : [alert.login.password];
    const url = URL.parse(alert.url.reveal());
    const path = url === null ? '' : `${url.pathname}${url.search}`;
    const paths = [path, path.slice(1)].filter((part) => part.length >= SECRET_PATH).map((part) => new Secret(part));
    return [alert.url, ...paths, ...(alert.kind === 'webhook' ? [alert.secret] : [])];
  });
}
