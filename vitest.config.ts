import { defineConfig } from 'vitest/config';

const setupFiles = ['test/support/temporal-equality.ts'];

// Unit tests take milliseconds and reach nothing outside their process. The other three start containers and
// programs, and wait for them most of the time: three files at a time is what two cores carry without timeouts that come from the load alone.
const real = {
  environment: 'node',
  setupFiles,
  testTimeout: 120_000,
  hookTimeout: 180_000,
  teardownTimeout: 30_000,
  maxWorkers: 3,
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
          // A worker and its modules for each file were two fifths of the time. No test changes what it shares with others.
          isolate: false,
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
