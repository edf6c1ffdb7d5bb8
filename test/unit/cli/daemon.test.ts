import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { documents } from '../../../src/cli/json.ts';
import { createRunCounter } from '../../../src/daemon/run-counter.ts';
import { type as typed } from './command-line.ts';
import { configured, hang, withPassword } from './daemon-command.ts';

describe('daemon --dry-run', () => {
  const text = `
repository: file:///backups
timezone: Europe/Berlin
databases:
  - { name: shop, url: postgres://app@db/shop, schedule: 0 2 * * * }
  - { name: crm, url: postgres://app@db/crm, schedule: "off" }
verify: { schedule: 0 4 1 * * }
prune: { schedule: 30 5 * * 0 }
`;

  it('shows the next three times of each job, in the zone of the configuration, and ends', async () => {
    const { stdout, exitCode } = await typed(`daemon --dry-run --config ${configured(text)}`, { env: {} });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^ ?JOB +SCHEDULE +NEXT +THEN +AND THEN/);
    expect(stdout).toMatch(/backup:shop +0 2 \* \* \* +2026-11-21 02:00:00\+01:00 +2026-11-22 02:00:00\+01:00 +2026-11-23 02:00:00\+01:00/);
    expect(stdout).toMatch(/verify:shop +0 4 1 \* \* +2026-12-01 04:00:00\+01:00/);
    expect(stdout).toMatch(/verify:crm/);
    expect(stdout).not.toContain('backup:crm');
    expect(stdout).toMatch(/prune +30 5 \* \* 0 +2026-11-22 05:30:00\+01:00/);
  });

  it('prints the same as a document', async () => {
    const { stdout } = await typed(`daemon --dry-run --json --config ${configured(text)}`, { env: {} });
    const document = documents.daemon.parse(JSON.parse(stdout));
    expect(document).toMatchObject({ command: 'daemon', dryRun: true });
    expect(document.jobs.map(({ id }) => id)).toEqual(['backup:shop', 'verify:shop', 'verify:crm', 'prune']);
    expect(document.jobs[0]).toMatchObject({
      ...{ operation: 'backup', database: 'shop', schedule: '0 2 * * *', timeZone: 'Europe/Berlin' },
      next: ['2026-11-21T01:00:00Z', '2026-11-22T01:00:00Z', '2026-11-23T01:00:00Z'],
    });
  });

  it('says so where nothing is scheduled, and refuses what is no schedule', async () => {
    const off = text.replaceAll(/schedule: [^}"]+/g, 'schedule: "off" ');
    expect((await typed(`daemon --dry-run --config ${configured(off)}`, { env: {} })).stdout).toBe('nothing is scheduled\n');
    const bad = await typed(`daemon --dry-run --config ${configured(text.replace('0 2 * * *', '0 25 * * *'))}`, { env: {} });
    expect(bad.exitCode).toBe(10);
  });
});

describe('a reload of the daemon', () => {
  it('keeps the old secrets out of the log too, since jobs of the old configuration still run', async () => {
    const file = configured(withPassword);
    const { stderr } = await typed(`daemon --config ${file}`, {
      ...{
        env: {},
        composed: {
          alertDeps: () => ({ targets: [], heartbeats: [] }) as never,
          incidentDeps: () => ({ targets: [] }) as never,
          alertPolicy: () => ({}) as never,
          remembering: () => ({ store: {} }) as never,
        },
      },
      operations: { createHistory: () => ({ read: async () => ({ since: undefined, of: () => [] }) }) },
      loadDaemon: async () => ({
        systemdNotifier: () => ({ ready: hang, reloading: hang, stopping: hang, watch: hang }),
        serveHttp: hang,
        createRunCounter,
        async runDaemon(deps) {
          await deps.load();
          writeFileSync(file, withPassword.replace('hunter2secret', 'tr0ub4dor-secret'));
          await deps.load();
          deps.log('error', 'the old hunter2secret and the new tr0ub4dor-secret');
          writeFileSync(file, withPassword.replace('repository', 'repositry'));
          await expect(deps.load()).rejects.toMatchObject({ code: 'config-invalid' });
          deps.log('error', 'once more hunter2secret and tr0ub4dor-secret');
        },
      }),
    });
    expect(stderr).toContain('once more');
    expect(stderr).not.toMatch(/hunter2secret|tr0ub4dor-secret/);
  });
});
