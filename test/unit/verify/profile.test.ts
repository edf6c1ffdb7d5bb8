import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MiB } from '../../../src/core/bytes.ts';
import { profiles } from '../../../src/core/verification.ts';
import { serverSettings, walBytes } from '../../../src/verify/profile.ts';

const GiB = 1024 * MiB;
const room = { memoryBytes: 4 * GiB };

describe('the settings of a sandbox', () => {
  it('leave out in `fast` what only a crash would need, and take memory from the room there is', () => {
    expect(serverSettings('fast', {}, room)).toEqual({
      max_locks_per_transaction: '1024',
      fsync: 'off',
      synchronous_commit: 'off',
      full_page_writes: 'off',
      max_wal_size: '512MB',
      checkpoint_timeout: '1h',
      wal_level: 'minimal',
      max_wal_senders: '0',
      autovacuum: 'off',
      shared_buffers: '1024MB',
      maintenance_work_mem: '256MB',
      work_mem: '32MB',
    });
  });

  it('are PostgreSQL’s own in `durable`, but for the locks that a fingerprint of thousands of tables takes', () => {
    expect(serverSettings('durable', { work_mem: '1GB' }, room)).toEqual({ max_locks_per_transaction: '1024', work_mem: '1GB' });
  });

  it('are the user’s where the user has set them, in whatever case', () => {
    const settings = serverSettings('fast', { FSYNC: 'on', 'pgaudit.Log': 'none', max_locks_per_transaction: '9000' }, room);
    expect(settings).toMatchObject({ fsync: 'on', 'pgaudit.log': 'none', max_locks_per_transaction: '9000' });
    expect(settings).not.toHaveProperty('FSYNC');
  });

  it.each(['wal_level', 'max_wal_senders', 'archive_mode', 'summarize_wal'])(
    'do not keep the server from starting where %s is set',
    (name) => {
      const settings = serverSettings('fast', { [name]: 'on' }, room);
      expect(settings[name]).toBe('on');
      expect({ ...settings, [name]: '' }).not.toMatchObject({ wal_level: 'minimal' });
    },
  );

  it('ask for no more memory than there is, from 256 MiB on, and for WAL that walBytes() tells', () => {
    fc.assert(
      fc.property(fc.integer({ min: 256, max: 1024 * 1024 }), fc.constantFrom(...profiles), (mebibytes, profile) => {
        const some = { memoryBytes: mebibytes * MiB };
        const { shared_buffers: buffers, maintenance_work_mem: maintenance, max_wal_size: wal } = serverSettings(profile, {}, some);
        if (profile === 'durable') return walBytes(profile, some) === GiB;
        const [b, m, w] = [buffers, maintenance, wal].map((value) => Number(/^(\d+)MB$/.exec(value ?? '')?.[1]) * MiB);
        expect((b ?? 0) + 4 * (m ?? 0)).toBeLessThanOrEqual(some.memoryBytes / 2);
        expect(Math.abs((w ?? 0) - walBytes(profile, some))).toBeLessThan(MiB);
        return true;
      }),
    );
  });
});
