import { Counter, Gauge, Registry } from 'prom-client';
import { statusMetrics } from '../metrics/status.ts';
import { judgedAt } from '../operations/status.ts';
import type { Clock, Instant } from '../platform/clock.ts';
import type { HealthSource } from './health.ts';

const seconds = (instant: Instant) => instant.epochMilliseconds / 1000;

/**
 * What `/metrics` answers, in the text format 0.0.4: the status of the newest report as of now, the daemon's own, and the process's under the
 * names that every exporter has. A registry for each answer: gauges that are kept would go on showing databases that a reload removed.
 */
export async function serviceMetrics(source: HealthSource, clock: Clock): Promise<string> {
  const registry = new Registry();
  const gauge = (name: string, help: string, labelNames: string[] = []) => new Gauge({ name, help, labelNames, registers: [registry] });
  const made = source.report();

  gauge('jetbackup_build_info', 'The version of the daemon; always 1.', ['version']).set({ version: source.version }, 1);
  gauge(
    'jetbackup_status_timestamp_seconds',
    'When the figures about databases were read from the repository; 0 where they have not been yet.',
  ).set(made === undefined ? 0 : seconds(made.at));
  gauge(
    'jetbackup_scheduler_last_tick_timestamp_seconds',
    'When the scheduler last looked at the clock, which it does each minute; 0 before the first time.',
  ).set(timestampOf(source.scheduler.lastTick()));

  const next = gauge(
    'jetbackup_schedule_next_timestamp_seconds',
    'Next start by the schedule. While a job runs it has none; a prune of all databases has no database.',
    ['operation', 'database'],
  );
  for (const { job, next: planned } of source.scheduler.status()) {
    const labels = { operation: job.operation, ...(job.database === null ? {} : { database: job.database }) };
    if (planned !== undefined) next.set(labels, seconds(planned.at));
  }

  const runs = source.runs?.();
  if (runs !== undefined) {
    const labelNames = ['operation', 'result'];
    const help = 'Runs that ended since the daemon started, by how they ended.';
    const counter = new Counter({ name: 'jetbackup_runs_total', help, labelNames, registers: [registry] });
    for (const { operation, result, count } of runs) counter.inc({ operation, result }, count);
  }

  // By hand: prom-client's default collection starts observers that live as long as the process, for each registry anew.
  const { user, system } = process.cpuUsage();
  const cpu = new Counter({ name: 'process_cpu_seconds_total', help: 'Processor time that was used, seconds.', registers: [registry] });
  cpu.inc((user + system) / 1_000_000);
  gauge('process_resident_memory_bytes', 'Resident memory, bytes.').set(process.memoryUsage.rss());
  gauge('process_start_time_seconds', 'When the daemon started, seconds since the epoch.').set(seconds(source.startedAt));

  const own = await registry.metrics();
  return made === undefined ? own : `${own}${await statusMetrics(judgedAt(made.report, clock.now()))}`;
}

function timestampOf(instant: Instant | undefined): number {
  return instant === undefined ? 0 : seconds(instant);
}
