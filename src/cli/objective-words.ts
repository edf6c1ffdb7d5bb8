import type { ObjectiveReason } from '../operations/objectives.ts';
import type { RtoForecast } from '../operations/rto-forecast.ts';
import { FAR_BEYOND } from '../operations/rto-forecast.ts';
import type { MeasuredRto } from '../operations/verification-history.ts';
import type { Instant } from '../platform/clock.ts';
import { bytesText, counted, durationText, instantText } from './text.ts';

export function secondsText(seconds: number): string {
  return durationText(Math.round(seconds * 1000));
}

function dayText(at: Instant, timeZone: string): string {
  return at.toZonedDateTimeISO(timeZone).toPlainDate().toString();
}

/** Why an objective is where it is. Goes on after `met: `, `missed: ` and the like. */
export function whyText(why: ObjectiveReason, timeZone: string): string {
  switch (why.kind) {
    case 'no-recovery-point':
      return 'there is no backup that could be restored; make one with: jetbackup backup';
    case 'age':
      return `the newest recovery point is ${secondsText(why.seconds)} old`;
    case 'gap':
      return `there was none for ${secondsText(why.seconds)}, which reaches into the last 30 days`;
    case 'never-measured':
      return 'never measured; do it with: jetbackup verify';
    case 'measured':
      return `${secondsText(why.seconds)}, measured ${dayText(why.at, timeZone)}${why.isFast ? ' with the profile fast: an incident takes longer' : ''}`;
    case 'expected-now':
      return `the database has grown since it was measured: ${secondsText(why.seconds)} are to be expected now`;
    case 'breaks-expected':
      return `expected to break by ${dayText(why.at, timeZone)}, as the database grows`;
    case 'breaks-possible':
      return `may break from ${dayText(why.at, timeZone)} on: the forecast is not certain enough to rule it out`;
    case 'proven':
      return `${why.backup} was restored and passed every check`;
    case 'found-bad':
      return `${why.backup} was found bad, and nothing newer is proven; look again: jetbackup verify ${why.backup}`;
    case 'never-proven':
      return 'no backup has been restored and checked yet; do it with: jetbackup verify';
    case 'no-proof-attached':
      return `${why.backup ?? 'a backup'} was restored and passed every check, but nothing was signed: give the verifying host a signing key (signing.keyFile)`;
    case 'last-verification-open':
      return `the verification of ${dayText(why.at, timeZone)} did not get to its end; once more: jetbackup verify`;
  }
}

type Setting = Pick<MeasuredRto, 'kind' | 'profile' | 'jobs'>;

/** `in a container, profile durable, 4 jobs`. */
export function settingText({ kind, profile, jobs }: Setting): string {
  const where = { container: 'in a container', local: 'with local programs', server: 'on a server' }[kind];
  return `${where}${profile === null ? '' : `, profile ${profile}`}, ${counted(jobs, 'job')}`;
}

/** A line for each size, and when the objective breaks. */
export function forecastLines(forecast: RtoForecast, timeZone: string): string[] {
  const { method, basis, now, growth, projected, breaks } = forecast;
  const how =
    method === 'fitted'
      ? `by a line through ${counted(basis.runs - basis.leftOut, 'verification')}${basis.leftOut === 0 ? '' : ` (${basis.leftOut} left out: far off the others)`}`
      : `scaled from ${counted(basis.runs, 'verification')}, so wide: a line needs three, of sizes that differ`;
  const grows =
    growth === undefined
      ? 'how the database grows cannot be told yet'
      : `the dump grows by ${growth.bytesPerMonth < 0 ? '-' : ''}${bytesText(Math.abs(growth.bytesPerMonth))} a month`;
  const line = (when: string, { bytes, seconds, lowerSeconds, upperSeconds, timesBeyond }: RtoForecast['now']) => {
    const far = timesBeyond > FAR_BEYOND ? `; ${Math.round(timesBeyond)} times off anything measured: hardly more than a guess` : '';
    return `${when}: ${secondsText(seconds)} (${secondsText(lowerSeconds)} to ${secondsText(upperSeconds)}) for ${bytesText(bytes)}${far}`;
  };
  return [
    line('now', now),
    ...projected.map(({ days, ...estimate }) => line(`in ${days} days`, estimate)),
    `${how}; ${grows}`,
    ...breaksLine(breaks, growth !== undefined, timeZone),
  ];
}

function breaksLine(breaks: RtoForecast['breaks'], hasGrowth: boolean, timeZone: string): string[] {
  if (breaks === undefined) return [];
  const { expected, earliest } = breaks;
  if (expected !== undefined) {
    const from = earliest === undefined ? '' : `, possible from ${dayText(earliest, timeZone)} on`;
    return [`the objective is expected to break by ${dayText(expected, timeZone)}${from}`];
  }
  if (earliest !== undefined) return [`the objective may break from ${dayText(earliest, timeZone)} on`];
  return hasGrowth ? ['the objective holds for two years and more'] : [];
}

/** `2026-11-20 02:00:01+01:00, 10h ago`. */
export function agoText(at: Instant, ageSeconds: number, timeZone: string): string {
  return `${instantText(at.toString(), timeZone)}, ${secondsText(ageSeconds)} ago`;
}
