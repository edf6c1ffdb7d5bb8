import { defineConfig } from 'vitest/config';

const setupFiles = ['test/support/temporal-equality.ts'];

// A worker and its modules anew for each file would take a fifth of all time. No test changes what it shares with others.
const isolate = false;

// Unit tests take milliseconds and reach nothing outside their process. The other three start containers and
// programs, and wait for them, or for a minute of the clock: five files at a time keep two cores busy.
const real = {
  environment: 'node',
  setupFiles,
  testTimeout: 120_000,
  hookTimeout: 180_000,
  teardownTimeout: 30_000,
  isolate,
  maxWorkers: 5,
  sequence: { groupOrder: 1 },
} as const;

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          environment: 'node',
          setupFiles,
          testTimeout: 10_000,
          // By default one core is left to others, which is half of a small machine.
          maxWorkers: '100%',
          isolate,
          sequence: { groupOrder: 0 },
        },
      },
      { test: { ...real, name: 'contract', include: ['test/contract/**/*.test.ts'] } },
      { test: { ...real, name: 'integration', include: ['test/integration/**/*.test.ts'] } },
      {
        test: {
          ...real,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 300_000,
          globalSetup: ['test/support/global-setup-build.ts'],
        },
      },
    ],
  },
});
