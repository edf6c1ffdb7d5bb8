import type { AlertChannel, Notice, Sensitive } from './alert.ts';
import type { AttemptDeps } from './attempts.ts';
import { post } from './http.ts';
import { headline, lines } from './words.ts';

export interface SlackSettings {
  readonly name: string;
  /** Of an incoming webhook; Mattermost and others that take the same body will do. */
  readonly url: Sensitive;
}

const green = '#2eb67d';
const colors = { info: '#36c5f0', warning: '#ecb22e', critical: '#e01e5a' } as const;

/** Slack's incoming webhooks. They keep no incident, so that a recovery is a message of its own. */
export function slackChannel(deps: AttemptDeps, { name, url }: SlackSettings): AlertChannel {
  return {
    name,
    async send(notice, signal) {
      const body = JSON.stringify(slackBody(notice));
      const refusedHint = `Make a new incoming webhook and put its URL into the alert "${name}": this one was revoked, or is not one.`;
      await post(deps, { channel: name, url, body, headers: () => ({}), refusedHint }, signal);
    },
  };
}

function slackBody(notice: Notice) {
  const over = notice.kind === 'resolve' || notice.kind === 'test';
  const text = lines(notice).map(escaped).join('\n');
  return {
    text: `*${escaped(headline(notice))}*`,
    attachments: [{ color: over ? green : colors[notice.severity], text, fallback: text, mrkdwn_in: [] }],
  };
}

/** Slack's control characters: a message of a server must not become a link or call a channel. */
function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
