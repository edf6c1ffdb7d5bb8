import type { ErrorCode } from '../core/errors.ts';
import { ageMs, instantText, type Raised, timeText, type Verdict } from './condition.ts';
import type { DatabaseFacts, Facts, RunFact } from './facts.ts';
import type { AlertPolicy } from './policy.ts';

/* The rules about one database. A severity has its reason beside it: critical wakes somebody up. */

type Check = (database: DatabaseFacts, facts: Facts, policy: AlertPolicy) => Verdict;

/** Codes that say something of the backup itself. Any other failure of a verification says that it could not be told. */
const provenBad: readonly ErrorCode[] = ['check-failed', 'damaged', 'not-authentic', 'restore-failed'];

/** It ran to its end and found the backup good, only not fast or fresh enough; other rules speak of that. */
const provenAnyway: readonly ErrorCode[] = ['objective-missed'];

/** What is left of a run that decides: one that was interrupted, or gave way to another, leaves the question where it was. */
function decided(run: RunFact | null | undefined): RunFact | null | undefined {
  return run?.result === 'interrupted' || run?.code === 'locked' ? undefined : run;
}

function verdictOf(run: RunFact | null | undefined, failed: (run: RunFact) => Verdict): Verdict {
  const last = decided(run);
  if (last === undefined) return 'unknown';
  return last === null || last.result === 'succeeded' ? 'clear' : failed(last);
}

function detailOf(run: RunFact): string[] {
  const what = [run.code, run.message].filter((part) => part !== undefined).join(': ');
  return [`at ${instantText(run.at)}`, ...(what === '' ? [] : [what]), ...(run.hint === undefined ? [] : [run.hint])];
}

export const backupFailed: Check = ({ name, backup, objectives }) =>
  verdictOf(backup, (run) => ({
    // With an objective there is time until it is missed, and missing it is critical by its own rule. Without one nothing else would speak.
    severity: objectives.rpoMs === undefined ? 'critical' : 'warning',
    summary: `${name}: the last backup failed`,
    detail: detailOf(run),
    hint: `jetbackup backup ${name}`,
  }));

export const backupOverdue: Check = ({ name, schedule }, { now }) => {
  const since = schedule?.backup?.overdueSince;
  if (since === undefined) return schedule === undefined ? 'unknown' : 'clear';
  if (since === null) return 'clear';
  // Whatever hinders the schedule hinders the next backup too; the age of the recovery point is critical by its own rule.
  return {
    severity: 'warning',
    summary: `${name}: a backup has been due for ${timeText(ageMs(since, now))} and has not begun`,
    detail: [`due since ${instantText(since)}`],
    hint: `jetbackup backup ${name}`,
  };
};

export const recoveryPointOld: Check = ({ name, newestPoint, objectives: { rpoMs }, backup }, { now }) => {
  if (rpoMs === undefined) return 'clear';
  if (newestPoint === undefined) return 'unknown';
  const hint = `jetbackup backup ${name}`;
  if (newestPoint === null) {
    // A database that has just been configured has none yet; one that had runs has lost them.
    const severity = backup === null ? 'warning' : 'critical';
    return { severity, summary: `${name}: there is no recovery point`, detail: [`objective: ${timeText(rpoMs)}`], hint };
  }
  const age = ageMs(newestPoint, now);
  if (age <= rpoMs) return 'clear';
  // An incident now would lose more than was promised.
  return {
    severity: 'critical',
    summary: `${name}: the newest recovery point is ${timeText(age)} old, and the objective is ${timeText(rpoMs)}`,
    detail: [`newest recovery point: ${instantText(newestPoint)}`],
    hint,
  };
};

export const proofOld: Check = ({ name, newestProven, newestPoint }, { now }, { provenWithinMs }) => {
  if (provenWithinMs === null) return 'clear';
  if (newestProven === undefined) return 'unknown';
  const hint = `jetbackup verify ${name}`;
  const wanted = `a recovery point is to be proven restorable every ${timeText(provenWithinMs)}`;
  if (newestProven === null) {
    // There may be good backups; nobody knows. Without any backup there is nothing to prove, and other rules speak.
    if (newestPoint === null) return 'clear';
    return { severity: 'warning', summary: `${name}: no backup has been proven restorable`, detail: [wanted], hint };
  }
  const age = ageMs(newestProven, now);
  if (age <= provenWithinMs) return 'clear';
  return {
    // Twice as long without proof is no longer a verification that is late but one that does not happen.
    severity: age > 2 * provenWithinMs ? 'critical' : 'warning',
    summary: `${name}: the newest proven recovery point is ${timeText(age)} old`,
    detail: [wanted, `newest proven: ${instantText(newestProven)}`],
    hint,
  };
};

/** Where an objective is set, not knowing whether it is met is itself worth telling: silence would look like being met. */
export const objectiveUnknown: Check = ({ name, objectives, newestPoint, newestProven, rto }, { repository }, policy) => {
  const missing = [
    ...(objectives.rpoMs !== undefined && newestPoint === undefined ? ['the newest recovery point cannot be told (RPO)'] : []),
    ...(policy.provenWithinMs !== null && newestProven === undefined ? ['the newest proven recovery point cannot be told'] : []),
    ...(objectives.rtoMs !== undefined && rto === undefined ? ['the last measured RTO cannot be told'] : []),
    ...(objectives.rtoMs !== undefined && rto === null ? ['no restore has been measured yet (RTO)'] : []),
  ];
  if (missing.length === 0) return 'clear';
  // Nothing is known to be wrong.
  const failure = repository?.failure;
  return {
    severity: 'warning',
    summary: `${name}: whether its objectives are met is not known`,
    detail: [...missing, ...(failure === undefined ? [] : [`${failure.code}: ${failure.message}`])],
    hint: 'jetbackup status',
  };
};

export const verificationFailed: Check = ({ name, verify }) =>
  verdictOf(verify, (run) => {
    if (run.code !== undefined && provenAnyway.includes(run.code)) return 'clear';
    // One that could not run says nothing about the one before, which may have failed.
    if (run.code === undefined || !provenBad.includes(run.code)) return 'unknown';
    // What would be restored tonight is known not to restore.
    return {
      severity: 'critical',
      summary: `${name}: the verification failed; the backup does not restore as it should`,
      detail: detailOf(run),
      hint: `jetbackup verify ${name}`,
    };
  });

export const verificationImpossible: Check = ({ name, verify }) =>
  verdictOf(verify, (run) => {
    if (run.code !== undefined && (provenAnyway.includes(run.code) || provenBad.includes(run.code))) return 'clear';
    // Nothing is known to be bad, and nothing is proven either: never silence, never a pass.
    return {
      severity: 'warning',
      summary: `${name}: the verification could not run`,
      detail: detailOf(run),
      hint: `jetbackup verify ${name}`,
    };
  });

export const rtoMissed: Check = ({ name, rto, objectives: { rtoMs } }) => {
  if (rtoMs === undefined) return 'clear';
  if (rto === undefined) return 'unknown';
  if (rto === null || rto.seconds * 1000 <= rtoMs) return 'clear';
  // Nothing is lost and nothing is down: to be planned for, not to be woken for.
  return {
    severity: 'warning',
    summary: `${name}: a restore takes ${timeText(rto.seconds * 1000)}, and the objective is ${timeText(rtoMs)}`,
    detail: rto.profile === 'fast' ? ['measured with the profile "fast"; in an incident it takes longer'] : [],
    hint: `jetbackup verify ${name}`,
  };
};

export const rtoForecast: Check = ({ name, forecast, objectives: { rtoMs } }, { now }, policy) => {
  if (rtoMs === undefined) return 'clear';
  if (forecast === undefined) return 'unknown';
  const { atRiskAt } = forecast;
  if (atRiskAt === null) return 'clear';
  const ahead = -ageMs(atRiskAt, now);
  if (ahead > policy.forecast.noticeMs) return 'clear';
  return {
    // Months ahead is for the next planning; two weeks are short for getting a faster server.
    severity: ahead > policy.forecast.warningMs ? 'info' : 'warning',
    summary: `${name}: a restore is expected to take longer than its objective (${timeText(rtoMs)}) from ${instantText(atRiskAt).slice(0, 10)} on`,
    hint: `jetbackup verify ${name}`,
  };
};

export const drillOverdue: Check = ({ name, schedule }, { now }) => {
  const since = schedule?.drill?.overdueSince;
  if (since === undefined) return schedule === undefined ? 'unknown' : 'clear';
  if (since === null) return 'clear';
  // A habit that slips; the backups may be as good as ever.
  return { severity: 'warning', summary: `${name}: a drill has been due for ${timeText(ageMs(since, now))}`, hint: DRILL };
};

/** What is to be done is more than one command. */
const DRILL = 'Go through RUNBOOK.md with whoever would be on call.';

export const drillFailed: Check = ({ name, drill }) =>
  verdictOf(drill, (run): Raised => {
    const bad = run.code !== undefined && provenBad.includes(run.code);
    const detail = detailOf(run);
    // As with a verification: only what says that the backup is bad cannot wait.
    return { severity: bad ? 'critical' : 'warning', summary: `${name}: the last drill failed`, detail, hint: DRILL };
  });

export const pruneFailed: Check = ({ name, prune }) =>
  verdictOf(prune, (run) => ({
    // Too much is kept, not too little.
    severity: 'warning',
    summary: `${name}: the last prune failed`,
    detail: detailOf(run),
    hint: 'jetbackup prune --dry-run',
  }));

export const retentionFrozen: Check = ({ name, frozenBy }) => {
  if (frozenBy === undefined) return 'unknown';
  if (frozenBy === null) return 'clear';
  // Nothing is deleted until somebody looks: that is what a freeze is for.
  return {
    severity: 'warning',
    summary: `${name}: deletion is frozen`,
    detail: [`because backup ${frozenBy} has far less than those before it`],
    hint: `jetbackup show ${frozenBy}`,
  };
};

export const collapsed: Check = ({ name, collapse }) => {
  if (collapse === undefined) return 'unknown';
  if (collapse === null) return 'clear';
  const { backup, of, share } = collapse;
  // The likeliest causes are a table that somebody emptied and a dump that lacks something: each hour makes it worse.
  return {
    severity: 'critical',
    summary: `${name}: the newest backup has ${(share * 100).toFixed(share < 0.1 ? 1 : 0)} % of the usual ${of}`,
    detail: [`backup ${backup}`, 'deletion of earlier backups is frozen until somebody accepts it'],
    hint: `jetbackup show ${backup}`,
  };
};
