import type { CheckResult } from '../check.ts';

/** A database of 10,000 tables that came back empty needs no 10,000 lines to be understood. */
export const MAX_FINDINGS = 100;

/** Of what a user's query gave: enough to recognise it by. */
const SHOWN_CHARACTERS = 200;

export function passed(message: string, findings: readonly string[] = []): CheckResult {
  return { status: 'pass', message, ...(findings.length === 0 ? {} : { findings: bounded(findings) }) };
}

export function failed(message: string, hint: string, findings: readonly string[]): CheckResult {
  return { status: 'fail', message, hint, findings: bounded(findings) };
}

export function skipped(message: string, findings: readonly string[] = []): CheckResult {
  return { status: 'skip', message, ...(findings.length === 0 ? {} : { findings: bounded(findings) }) };
}

function bounded(findings: readonly string[]): readonly string[] {
  if (findings.length <= MAX_FINDINGS) return findings;
  return [...findings.slice(0, MAX_FINDINGS), `and ${findings.length - MAX_FINDINGS} more`];
}

/** `1 table`, `2 tables`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** A value in a finding, cut where it is long. */
export function shown(value: string | null): string {
  if (value === null) return 'NULL';
  return JSON.stringify(value.length > SHOWN_CHARACTERS ? `${value.slice(0, SHOWN_CHARACTERS)}…` : value);
}

export const anotherBackup =
  'Do not rely on this backup: make a new one (jetbackup backup) and verify it. jetbackup list shows which others are proven.';
