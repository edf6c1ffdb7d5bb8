import type { Notice } from './alert.ts';

/* A notice in the words that every channel for people uses. */

/** `CRITICAL`, `RESOLVED`. */
export function stateText({ kind, severity }: Notice): string {
  if (kind === 'resolve') return 'RESOLVED';
  if (kind === 'acknowledge') return 'ACKNOWLEDGED';
  if (kind === 'test') return 'TEST';
  return kind === 'repeat' ? `STILL ${severity.toUpperCase()}` : severity.toUpperCase();
}

export function headline(notice: Notice): string {
  return `${stateText(notice)} ${notice.summary}`;
}

/** Everything below the headline, a line each. */
export function lines(notice: Notice): readonly string[] {
  return [
    ...notice.detail,
    ...(notice.kind === 'test' || notice.kind === 'resolve' ? [] : [`since ${notice.since.replace(/\.\d+Z$/, 'Z')}`]),
    ...(notice.hint === null ? [] : [`next: ${notice.hint}`]),
    `rule: ${notice.rule}`,
  ];
}
