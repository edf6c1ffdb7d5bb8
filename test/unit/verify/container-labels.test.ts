import { hostname } from 'node:os';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { ownershipLabels, readOwnership, whyLeftover } from '../../../src/verify/sandboxes/container-labels.ts';
import { type ProcessIdentity, thisProcess } from '../../../src/verify/sandboxes/process-identity.ts';

const createdAt = Temporal.Instant.from('2026-11-20T02:00:00Z');
const runId = '20261120T020000Z-k3f9qa';
const here = await thisProcess(hostname());
/** Above the most that Linux gives out (proc(5), pid_max). */
const dead: ProcessIdentity = { ...here, pid: 4_194_305 };

function why(owner: ProcessIdentity, hoursLater = 1, isStopped = false, hasEnded = false): Promise<string | undefined> {
  return whyLeftover({ runId, owner, createdAt }, { here, now: createdAt.add({ hours: hoursLater }), isStopped, hasEnded });
}

describe('a sandbox that may be left by a killed run', () => {
  it('is told by its labels alone', () => {
    expect(readOwnership(ownershipLabels({ runId, owner: here, createdAt }))).toEqual({ runId, owner: here, createdAt });
  });

  it.each([
    {},
    { 'dev.jetbackup.sandbox': 'mine' },
    { ...ownershipLabels({ runId, owner: here, createdAt }), 'dev.jetbackup.sandbox.created': 'yesterday' },
    undefined,
  ])('is not ours to judge with labels as nobody here writes them: %o', (labels) => {
    expect(readOwnership(labels)).toBeUndefined();
  });

  it('is left alone while its process lives, however long', async () => {
    expect(await why(here, 1000)).toBeUndefined();
  });

  it('goes where its run ended in a process that lives on and is ours, and in no other', async () => {
    expect(await why(here, 1, false, true)).toBe('its run has ended');
    expect(await why({ ...here, host: 'other' }, 1, false, true)).toBeUndefined();
    expect(await why({ ...here, pid: process.ppid, startTicks: '' }, 1, false, true)).not.toBe('its run has ended');
  });

  it('goes once its process is gone, also where its number is another’s by now', async () => {
    expect(await why(dead)).toBe('process 4194305 is gone');
    if (here.startTicks !== '') expect(await why({ ...here, startTicks: '1' })).toBe(`process ${here.pid} is gone`);
  });

  it('goes where its machine was started anew and it did not start with it', async () => {
    const before = { ...here, boot: 'another' };
    expect(await why(before, 1, true)).toBe('the machine was started anew');
    expect(await why(before, 1, false)).toBeUndefined();
  });

  it('goes after two days where nobody here can tell whether its process lives', async () => {
    for (const elsewhere of [
      { ...dead, host: 'db2.example' },
      { ...dead, namespace: '1' },
    ]) {
      expect(await why(elsewhere, 48, true)).toBeUndefined();
      expect(await why(elsewhere, 49)).toBe(`made by ${elsewhere.host} more than two days ago`);
    }
  });
});
