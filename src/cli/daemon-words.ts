import type { Report } from '../daemon/plan.ts';
import { instantText } from './text.ts';

/** What the plan found that somebody should know, in words. */
export function reportText(report: Report, timeZone: string): string {
  const at = (instant: { toString(): string }) => instantText(instant.toString(), timeZone);
  const { job, dueAt } = report;
  switch (report.kind) {
    case 'overrun':
      return `${job.id} is still running for ${at(report.startedFor)}, and was due again at ${at(dueAt)}: it outlives its schedule`;
    case 'missed': {
      const many = report.count >= 100 ? '100 times or more' : report.count === 1 ? 'once' : `${report.count} times`;
      return `${job.id} was missed ${many}, last at ${at(dueAt)}; ${report.caughtUp ? 'one run makes up for it' : 'that is left'}`;
    }
    case 'gave-up':
      return `${job.id} failed ${report.attempts} time(s) for ${at(dueAt)}, and is not tried again before its next time`;
  }
}
