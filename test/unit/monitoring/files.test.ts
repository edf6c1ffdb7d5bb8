import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { healthReasonKinds } from '../../../src/daemon/health.ts';
import { type Family, parseExposition } from '../../support/exposition.ts';
import { reportOf, statusIn } from '../../support/status-reports.ts';
import { allWell, serve } from '../daemon/http-service.ts';

const folder = join(import.meta.dirname, '../../../docs/monitoring');
const read = (name: string) => readFileSync(join(folder, name), 'utf8');
const hasPromtool = spawnSync('promtool', ['--version']).status === 0;

const Rules = z.object({
  groups: z.array(
    z.strictObject({
      name: z.string(),
      rules: z.array(
        z.strictObject({
          alert: z.string().regex(/^Jetbackup[A-Z][A-Za-z]+$/),
          expr: z.string(),
          for: z.string().optional(),
          labels: z.strictObject({ severity: z.enum(['critical', 'warning', 'info']) }),
          annotations: z.strictObject({ summary: z.string(), description: z.string() }),
        }),
      ),
    }),
  ),
});
const rules = Rules.parse(parse(read('prometheus-rules.yaml'))).groups.flatMap((group) => group.rules);

const Source = z.object({ type: z.literal('prometheus'), uid: z.literal('${datasource}') });
const Grid = z.strictObject({ x: z.int().min(0), y: z.int().min(0), w: z.int().min(1).max(24), h: z.int().min(1) });
const Panel = z.object({
  id: z.int(),
  title: z.string().min(1),
  gridPos: Grid,
  targets: z.array(z.object({ datasource: Source, refId: z.string(), expr: z.string() })),
  description: z.string().min(10),
  datasource: Source,
});
const Row = z.object({ type: z.literal('row'), id: z.int(), title: z.string().min(1), gridPos: Grid, panels: z.tuple([]) });
const dashboard = z
  .object({
    uid: z.literal('jetbackup'),
    id: z.null(),
    schemaVersion: z.literal(39),
    templating: z.object({ list: z.array(z.object({ name: z.string(), query: z.union([z.string(), z.object({ query: z.string() })]) })) }),
    panels: z.array(z.union([Row, Panel])),
  })
  .parse(JSON.parse(read('grafana-dashboard.json')));
const panels = dashboard.panels.flatMap((panel) => ('targets' in panel ? [panel] : []));

/** What Grafana puts in for its variables. */
const filledIn = (expr: string) => expr.replaceAll('$database', '.+').replaceAll('$__rate_interval', '5m');

const queries = [
  ...rules.map(({ alert, expr }) => [alert, expr] as const),
  ...panels.flatMap(({ title, targets }) => targets.map(({ expr }) => [title, filledIn(expr)] as const)),
  ...dashboard.templating.list.flatMap(({ name, query }) => (typeof query === 'string' ? [] : [[name, query.query] as const])),
];

/** Everything that `/metrics` can say, as one answer of it. */
async function served(): Promise<string> {
  await using service = await serve();
  service.daemon.report = reportOf(
    statusIn('shop', { ...allWell, frozenBy: '20261120T020000Z-aaaaaa', history: { lastGoodBackup: lastBackup() } }),
    statusIn('empty', {}),
  );
  return (await service.get('/metrics')).body;
}

function lastBackup() {
  const { at } = statusIn('shop', allWell).newest ?? {};
  if (at === undefined) throw new Error('it has a recovery point');
  return { run: '20261120T020000Z-aaaaaa', startedAt: at, finishedAt: at.add({ minutes: 9 }), result: 'succeeded' as const, error: null };
}

/** Every path that there is in a document, whatever the values. */
function fieldsOf(value: unknown, path = ''): string[] {
  if (Array.isArray(value)) return [...new Set(value.flatMap((item) => fieldsOf(item, `${path}[]`)))].sort();
  if (typeof value !== 'object' || value === null) return [path];
  return Object.entries(value)
    .flatMap(([key, inner]) => fieldsOf(inner, `${path}.${key}`))
    .sort();
}

describe('the rules and the dashboard', () => {
  let text: string;
  let families: Map<string, Family>;
  beforeAll(async () => {
    text = await served();
    families = parseExposition(text);
  });

  it.each(queries)('of %s ask for metrics and labels that /metrics has', (_, expr) => {
    const names = [...expr.matchAll(/\b(?:jetbackup|process)_[a-z_]+\b/g)].map(([name]) => name);
    expect(names.length + (/\bup\{/.test(expr) ? 1 : 0)).toBeGreaterThan(0);
    for (const name of names) expect([...families.keys()], expr).toContain(name);
    for (const [, name = '', selector = ''] of expr.matchAll(/\b((?:jetbackup|process)_[a-z_]+)\{([^}]*)\}/g)) {
      const samples = families.get(name)?.samples ?? [];
      for (const [, label = '', operator, value] of selector.matchAll(/([a-z_]+)(!=|=~|=)"([^"]*)"/g)) {
        // What Prometheus itself adds.
        if (label === 'job' || label === 'instance') continue;
        expect(
          samples.some(({ labels }) => label in labels),
          `${name}{${label}}`,
        ).toBe(true);
        if (operator === '=')
          expect(
            samples.map(({ labels }) => labels[label]),
            `${name}{${label}}`,
          ).toContain(value);
      }
    }
  });

  it('have a panel for every metric of a database', () => {
    const shown = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)).join('\n');
    // The age that the dashboard shows is that of now; what was when it was written, and when a run ended, are for other monitors.
    const others = ['jetbackup_rpo_seconds', 'jetbackup_backup_last_success_timestamp_seconds', 'jetbackup_status_timestamp_seconds'];
    for (const name of families.keys()) if (!others.includes(name)) expect(shown, name).toContain(name);
  });

  it('have panels that are told apart and do not lie on each other', () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    for (const { title, targets } of panels) expect(new Set(targets.map(({ refId }) => refId)).size, title).toBe(targets.length);
    for (const [index, { gridPos: a }] of dashboard.panels.entries()) {
      expect(a.x + a.w).toBeLessThanOrEqual(24);
      for (const { gridPos: b } of dashboard.panels.slice(index + 1)) {
        const apart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
        expect(apart, JSON.stringify([a, b])).toBe(true);
      }
    }
  });

  it('come with a page that has every metric and every field of /health', async () => {
    const page = read('README.md');
    for (const name of families.keys()) expect(page, name).toContain(`\`${name}\``);
    const [, example = ''] = /```json\n([\s\S]*?)```/.exec(page) ?? [];
    await using service = await serve();
    const backup = {
      ...lastBackup(),
      result: 'failed' as const,
      error: { code: 'database-unreachable' as const, message: '', hint: null },
    };
    service.daemon.report = reportOf(statusIn('shop', { ...allWell, newest: 30, history: { lastRuns: { backup } } }));
    expect(fieldsOf(JSON.parse(example))).toEqual(fieldsOf(JSON.parse((await service.get('/health')).body)));
    for (const kind of healthReasonKinds) expect(page).toContain(`| \`${kind}\` |`);
  });

  it('say what to do, and of which database or daemon', () => {
    for (const { alert, annotations } of rules) {
      if (alert !== 'JetbackupMetricsAbsent') expect(annotations.summary, alert).toMatch(/\{\{ \$labels\.(?:database|instance) \}\}/);
    }
  });

  // Debian and Ubuntu: apt-get install prometheus
  describe.skipIf(!hasPromtool)('by promtool (where it is installed)', () => {
    const promtool = (args: readonly string[], input = '') => execFileSync('promtool', args, { cwd: folder, input, encoding: 'utf8' });

    it('are valid rules that raise what they should and nothing else', { timeout: 60_000 }, () => {
      expect(promtool(['check', 'rules', 'prometheus-rules.yaml'])).toContain(`SUCCESS: ${rules.length} rules found`);
      expect(promtool(['test', 'rules', 'prometheus-rules.test.yaml', 'prometheus-rules-proof.test.yaml'])).toContain('SUCCESS');
    });

    it('are valid queries', () => {
      const scratch = mkdtempSync(join(tmpdir(), 'jetbackup-promql-'));
      try {
        const asked = queries.filter(([, expr]) => !expr.startsWith('label_values('));
        const recorded = asked.map(([, expr], index) => ({ record: `query_${index}`, expr }));
        writeFileSync(join(scratch, 'queries.yaml'), JSON.stringify({ groups: [{ name: 'queries', rules: recorded }] }));
        expect(promtool(['check', 'rules', join(scratch, 'queries.yaml')])).toContain(`SUCCESS: ${asked.length} rules found`);
      } finally {
        rmSync(scratch, { recursive: true });
      }
    });

    it('go with metrics that its linter has nothing to say against', () => {
      expect(promtool(['check', 'metrics'], text)).toBe('');
    });
  });
});
