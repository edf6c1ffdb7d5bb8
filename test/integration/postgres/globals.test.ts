import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadGlobals } from '../../../src/postgres/globals-load.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { settingsOf } from './pipeline.ts';

describe('globals that are loaded', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres(17);
  });
  afterAll(async () => {
    await server?.stop();
  });

  it('make what they can, and what the server lacks is told apart from what is wrong', async () => {
    const sql = `CREATE ROLE "the ""app""";
ALTER ROLE "the ""app""" WITH NOSUPERUSER LOGIN PASSWORD 'x SET y';
ALTER ROLE "the ""app""" SET lc_monetary TO 'xx_YY.UTF-8';
ALTER ROLE "the ""app""" SET work_mem TO '7MB';
SECURITY LABEL FOR anon ON ROLE "the ""app""" IS 'MASKED';
GRANT nobody_there TO "the ""app""";
`;
    const { roles, failures } = await loadGlobals(settingsOf(server, 'postgres'), sql);
    expect(roles).toBe(1);
    expect(failures).toMatchObject([
      { statement: 'ALTER ROLE "the ""app""" SET lc_monetary', isOfTheServer: true },
      { statement: expect.stringContaining('SECURITY LABEL'), isOfTheServer: true },
      { statement: expect.stringContaining('GRANT nobody_there'), isOfTheServer: false },
    ]);
    const rows = await server.query(`SELECT rolconfig FROM pg_roles WHERE rolname = 'the "app"'`);
    expect(rows).toEqual([{ rolconfig: ['work_mem=7MB'] }]);
  });
});
