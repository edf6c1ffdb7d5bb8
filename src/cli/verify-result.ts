import type * as z from 'zod';
import type { Redact } from '../config/secret.ts';
import { catalogue, isJetbackupError, messageOf } from '../core/errors.ts';
import type { CheckOutcome, VerifyResult } from '../operations/verify.ts';
import type { JunitCase, JunitSuite } from '../report/junit.ts';
import { errorBody } from './json.ts';
import type { VerifyDocument } from './json-verify.ts';
import { bytesText, type Colors, durationText, instantText, tableText } from './text.ts';
import type { Verified } from './verify-run.ts';

export function verifyDocument(done: readonly Verified[], redact: Redact): z.infer<typeof VerifyDocument> {
  return {
    command: 'verify',
    verified: done.flatMap((one) => (one.kind === 'told' ? [resultDocument(one.result, redact)] : [])),
    unverified: done.flatMap((one) =>
      one.kind === 'untold' ? [{ database: one.database, backup: one.backup, error: errorBody(one.error, redact) }] : [],
    ),
  };
}

function resultDocument({ database, backup, outcome, sandbox, checks, run }: VerifyResult, redact: Redact) {
  const { verification, rtoSeconds, rpoSeconds, phases } = run;
  return {
    ...{ database, backup, outcome, run: run.id, sandbox, rtoSeconds, rpoSeconds, phases },
    snapshotInstant: verification?.snapshotInstant ?? null,
    checks: checks.map(({ id, status, message, ms, hint, findings }) => ({
      ...{ id, status, message, ms },
      hint: hint === undefined ? null : redact(hint),
      findings: findings.map(redact),
    })),
    worstGapSeconds: verification?.worstGapSeconds ?? null,
    attached: verification?.attached ?? false,
  };
}

/** A backup that failed is the worst news, and one of which nothing is known comes next. */
export function verifyExitCode(done: readonly Verified[]): number {
  if (done.some((one) => one.kind === 'told' && one.result.outcome === 'failed')) return catalogue['check-failed'].exit;
  const untold = done.find((one) => one.kind === 'untold');
  if (untold === undefined) return 0;
  return isJetbackupError(untold.error) ? untold.error.exitCode : catalogue.bug.exit;
}

export function verifySuites(done: readonly Verified[], timestamp: string, redact: Redact): JunitSuite[] {
  return done.map((one) => ({
    name: `${one.database} ${one.kind === 'told' ? one.result.backup : (one.backup ?? 'no backup')}`,
    timestamp: one.kind === 'told' ? one.result.run.startedAt : timestamp,
    cases: one.kind === 'told' ? one.result.checks.map((check) => caseOf(check, redact)) : [errorCase(one.error, redact)],
  }));
}

function caseOf({ id, status, message, ms, hint, findings }: CheckOutcome, redact: Redact): JunitCase {
  const detail = [...findings, ...(hint === undefined ? [] : [`hint: ${hint}`])].map(redact).join('\n');
  return { name: id, seconds: ms / 1000, kind: status, text: redact(message), detail };
}

function errorCase(error: unknown, redact: Redact): JunitCase {
  const detail = isJetbackupError(error) && error.hint !== undefined ? `hint: ${redact(error.hint)}` : '';
  return { name: 'verify', seconds: 0, kind: 'error', text: redact(messageOf(error)), detail };
}

interface View {
  readonly timeZone: string;
  readonly colors: Colors;
  readonly redact: Redact;
}

export function verifyText(done: readonly Verified[], view: View): string {
  if (done.length === 0) return 'nothing to verify: every backup that was meant has been looked at';
  return view.redact(done.map((one) => (one.kind === 'told' ? resultText(one.result, view) : untoldText(one, view))).join('\n\n'));
}

function untoldText({ database, backup, error }: Extract<Verified, { kind: 'untold' }>, { colors }: View): string {
  return `${colors.yellow('NOT VERIFIED')} ${database}${backup === null ? '' : `: ${colors.bold(backup)}`}\n  ${messageOf(error)}`;
}

const SHOWN_FINDINGS = 20;

function resultText({ database, backup, outcome, sandbox, checks, run }: VerifyResult, { timeZone, colors }: View): string {
  const head = outcome === 'proven' ? colors.green('proven') : colors.red('FAILED');
  const { verification, rtoSeconds, rpoSeconds } = run;
  const asOf = verification?.snapshotInstant == null ? '' : `, as of ${instantText(verification.snapshotInstant, timeZone)}`;
  const profile = sandbox?.profile == null ? '' : `, profile ${sandbox.profile}`;
  const lines = [
    `${head} ${database}: ${colors.bold(backup)}${asOf}`,
    ...(sandbox === null ? [] : [`  in ${sandbox.description}${profile}`]),
    ...checks.flatMap((check) => checkLines(check, colors)),
    ...(rtoSeconds === null
      ? []
      : [`  RTO ${durationText(rtoSeconds * 1000)}${profile}; the time went into`, indent(phasesText(run.phases, colors))]),
    ...(rpoSeconds === null ? [] : [`  RPO ${durationText(Math.max(0, rpoSeconds) * 1000)} now${gapText(verification?.worstGapSeconds)}`]),
  ];
  return lines.join('\n');
}

function gapText(seconds: number | null | undefined): string {
  return seconds == null ? '' : `; at worst ${durationText(seconds * 1000)}, of the gaps that reach into the last 30 days`;
}

function checkLines({ id, status, message, hint, findings }: CheckOutcome, colors: Colors): string[] {
  const mark = { pass: colors.green('pass'), fail: colors.red('FAIL'), skip: colors.yellow('skip') }[status];
  const shown = findings.slice(0, SHOWN_FINDINGS).map((finding) => `         ${finding.replaceAll('\n', '\n         ')}`);
  const more = findings.length > SHOWN_FINDINGS ? [`         and ${findings.length - SHOWN_FINDINGS} more (--json has them all)`] : [];
  return [`  ${mark}  ${id}: ${message}`, ...shown, ...more, ...(hint === undefined ? [] : [`         ${colors.cyan('hint:')} ${hint}`])];
}

function phasesText(phases: VerifyResult['run']['phases'], colors: Colors): string {
  const rows = phases.map(({ phase, ms, bytes }) => [
    phase,
    durationText(ms),
    bytes === undefined ? '' : bytesText(bytes),
    bytes === undefined || ms === 0 ? '' : `${bytesText((bytes / ms) * 1000)}/s`,
  ]);
  const columns = [
    { title: 'PHASE' },
    { title: 'TIME', align: 'right' },
    { title: 'BYTES', align: 'right' },
    { title: 'RATE', align: 'right' },
  ] as const;
  return tableText(columns, rows, colors);
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '    ');
}
