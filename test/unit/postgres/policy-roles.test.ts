import { describe, expect, it } from 'vitest';
import { rolesOfPolicy } from '../../../src/postgres/policy-roles.ts';

describe('the roles of a policy', () => {
  it.each([
    ['CREATE POLICY mine ON public.t TO app USING (true);\n', ['app']],
    [
      'CREATE POLICY mine ON public.t AS RESTRICTIVE FOR SELECT TO app, "odd ""role""", "a, b" USING ((x = 1));\n',
      ['app', 'odd "role"', 'a, b'],
    ],
    ['CREATE POLICY "to ON TO x" ON s."t TO y" FOR ALL TO app WITH CHECK (true);\n', ['app']],
    ["CREATE POLICY mine ON public.t USING ((v = ' TO app'::text));\n", []],
  ])('are read from %j', (definition, roles) => {
    expect(rolesOfPolicy(definition)).toEqual(roles);
  });
});
