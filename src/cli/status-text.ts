import type { Config } from '../config/config.ts';
import type { ObjectiveState, Verdict } from '../operations/objectives.ts';
import type { AgedPoint, DatabaseStatus, StatusReport } from '../operations/status.ts';
import type { LastRun, RtoSummary } from '../operations/verification-history.ts';
import { agoText, forecastLines, secondsText, settingText, whyText } from './objective-words.ts';
import { type ScheduledStatus, scheduleOf } from './schedule-status.ts';
import { bytesText, type Colors, counted, fieldsText, instantText } from './text.ts';

export interface View {
  readonly timeZone: string;
  readonly colors: Colors;
}

/** A status for people: per database what is wanted and what is, then when that was measured. */
export function statusText(report: StatusReport, view: View & { readonly config: Config }): string {
  const blocks = report.databases.map((status) => databaseText(status, scheduleOf(view.config, status, report), view));
  return [...blocks, ...unreadTexts(report, view)].join('\n\n');
}

/** What the report could not take into account. */
export function unreadTexts({ unreadBefore, deniedAt }: StatusReport, view: Pick<View, 'timeZone'>): string[] {
  return [
    ...(unreadBefore === undefined ? [] : [unreadText(unreadBefore.toString(), view)]),
    ...(deniedAt === undefined ? [] : [deniedText(deniedAt.toString(), view)]),
  ];
}

export function deniedText(deniedAt: string, { timeZone }: Pick<View, 'timeZone'>): string {
  return `a run record of ${instantText(deniedAt, timeZone)} may not be read by this user, so nothing is known of it: chown it, or allow s3:GetObject`;
}

function unreadText(unreadBefore: string, { timeZone }: Pick<View, 'timeZone'>): string {
  return `run records of ${instantText(unreadBefore, timeZone)} and before were not read: there are too many`;
}

function databaseText(status: DatabaseStatus, schedule: readonly ScheduledStatus[], view: View): string {
  const { timeZone, colors } = view;
  const { newest, newestProven, newestFailed, newestBytes, verdicts, rto, forecast, history } = status;
  const judged = (objective: Verdict['objective']): string => {
    const verdict = verdicts.find((one) => one.objective === objective);
    return verdict === undefined ? 'no objective is set' : verdictText(verdict, view);
  };
  const bytes =
    newestBytes === undefined
      ? ''
      : `, ${newestBytes.dump === undefined ? '' : `dump ${bytesText(newestBytes.dump)}, `}stored ${bytesText(newestBytes.stored)}`;
  const fields = fieldsText(
    [
      ['newest', newest === undefined ? colors.red('none') : `${pointText(newest, timeZone)}${bytes}`],
      ['newest proven', newestProven === undefined ? colors.yellow('none') : pointText(newestProven, timeZone)],
      ['found bad', isNews(newestFailed, newestProven) ? colors.red(pointText(newestFailed, timeZone)) : undefined],
      ['RPO', judged('rpo')],
      ['RTO', judged('rto')],
      ['proof', judged('proven')],
      [
        'longest gap',
        status.worstGapSeconds === null ? undefined : `${secondsText(status.worstGapSeconds)}, of those that reach into the last 30 days`,
      ],
      ['measured', rto === undefined ? undefined : rtoText(rto)],
      ['forecast', forecast === undefined ? undefined : forecastLines(forecast, timeZone).join('\n')],
      ['last runs', lastRunsText(history.lastRuns, view)],
      ['overdue', overdueText(schedule, view)],
      ['next', nextText(schedule, view)],
      [
        'deletion',
        status.frozenBy === undefined
          ? undefined
          : colors.yellow(`frozen by ${status.frozenBy}, which collapsed; see: jetbackup prune --dry-run`),
      ],
      ['in the store', `${counted(status.backups, 'backup')}, ${bytesText(status.storedBytes)}`],
    ],
    colors,
  );
  return `${colors.bold(status.database)}\n${indented(fields)}`;
}

function overdueText(schedule: readonly ScheduledStatus[], { timeZone, colors }: View): string {
  return schedule
    .flatMap(({ operation, lastDue, overdue }) =>
      overdue && lastDue !== undefined
        ? colors.red(`${operation}, since ${instantText(lastDue.toString(), timeZone)}: is a daemon running? jetbackup daemon`)
        : [],
    )
    .join('\n');
}

function nextText(schedule: readonly ScheduledStatus[], { timeZone }: View): string {
  return schedule
    .flatMap(({ operation, next }) => (next === undefined ? [] : `${operation} ${instantText(next.toString(), timeZone)}`))
    .join(', ');
}

export function indented(text: string): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? '' : `  ${line}`))
    .join('\n');
}

/** What was found bad before something newer was proven is history. */
function isNews(failed: AgedPoint | undefined, proven: AgedPoint | undefined): failed is AgedPoint {
  return failed !== undefined && (proven === undefined || failed.at.epochMilliseconds > proven.at.epochMilliseconds);
}

function pointText({ id, at, ageSeconds }: AgedPoint, timeZone: string): string {
  return `${id}, as of ${agoText(at, ageSeconds, timeZone)}`;
}

function verdictText({ state, wantedSeconds, why }: Verdict, { timeZone, colors }: View): string {
  const wanted = wantedSeconds === null ? '' : ` (at most ${secondsText(wantedSeconds)})`;
  return `${stateText(state, colors)}${wanted}: ${whyText(why, timeZone)}`;
}

function stateText(state: ObjectiveState, colors: Colors): string {
  if (state === 'missed') return colors.red('MISSED');
  return state === 'met' ? colors.green('met') : colors.yellow(state);
}

/** `newest 14m 3s, median 13m, longest 16m of 9 verifications in a container, profile durable, 4 jobs; 20s more each month`, and the phases. */
export function rtoText({ newest, medianSeconds, worst, runs, trendSecondsPerMonth: trend }: RtoSummary): string {
  const change = trend === null ? '' : `; ${trendText(trend)}`;
  const of = `${counted(runs, 'verification')} ${settingText(newest)}`;
  const phases = newest.phases.map(({ phase, seconds, bytesPerSecond }) => {
    const rate = bytesPerSecond === null ? '' : ` at ${bytesText(Math.round(bytesPerSecond))}/s`;
    return `${phase} ${secondsText(seconds)}${rate}`;
  });
  return [
    `newest ${secondsText(newest.rtoSeconds)}, median ${secondsText(medianSeconds)}, longest ${secondsText(worst.rtoSeconds)} of ${of}${change}`,
    ...(phases.length === 0 ? [] : [phases.join(' · ')]),
  ].join('\n');
}

function trendText(perMonth: number): string {
  if (Math.abs(perMonth) < 0.5) return 'steady';
  return `${secondsText(Math.abs(perMonth))} ${perMonth > 0 ? 'more' : 'less'} each month`;
}

const operations = ['backup', 'verify', 'restore', 'prune'] as const;

function lastRunsText(lastRuns: DatabaseStatus['history']['lastRuns'], view: View): string {
  return operations
    .map((operation) => {
      const last = lastRuns[operation];
      return `${operation} ${last === undefined ? 'never' : lastRunText(last, view)}`;
    })
    .join('\n');
}

/** Only the code of an error: its message comes out of a record that nobody signed. */
function lastRunText({ run, startedAt, result, error }: LastRun, { timeZone, colors }: View): string {
  const how = result === 'succeeded' ? 'succeeded' : colors.red(`${result}${error === null ? '' : ` (${error.code})`}`);
  return `${how} ${instantText(startedAt.toString(), timeZone)}, run ${run}`;
}
