import { expect, test } from 'vitest';
import { objectionTo } from '../../../../src/verify/sandboxes/server.ts';

const server = (over: { versionNum?: number; standby?: boolean; canCreateDatabase?: boolean } = {}) => {
  const { versionNum = 170_006, standby = false, canCreateDatabase = true } = over;
  return { server: { version: '17.6', versionNum, standby, systemIdentifier: null }, canCreateDatabase };
};

test('a server takes backups of its own major and of older ones', () => {
  expect(objectionTo(server(), 'me', 17)).toBeUndefined();
  expect(objectionTo(server(), 'me', 14)).toBeUndefined();
  expect(objectionTo(server({ versionNum: 160_010 }), 'me', 17)?.reason).toBe('is PostgreSQL 16, older than the 17 that the backup is of');
});

test('a standby, and a user who may not make databases, are told with what helps', () => {
  expect(objectionTo(server({ standby: true }), 'me', 17)).toEqual({
    reason: 'is a standby, on which no database can be made',
    hint: 'Name a primary.',
  });
  expect(objectionTo(server({ canCreateDatabase: false }), 'the "me"', 17)?.hint).toBe(
    'Give that right there: ALTER ROLE "the ""me""" CREATEDB.',
  );
});
