import { Visitor } from '@swc/core/Visitor.js';
import { cruise, type ICruiseOptions, type ICruiseResult } from 'dependency-cruiser';

// The syntax visitor that dependency-cruiser walks with predates `using` and throws on it.
const visitStatement = Visitor.prototype.visitStatement;
Visitor.prototype.visitStatement = function (statement) {
  if ((statement.type as string) !== 'UsingDeclaration') return visitStatement.call(this, statement);
  if ('decls' in statement && Array.isArray(statement.decls)) this.visitVariableDeclarators(statement.decls);
  return statement;
};

/** What each of the files (relative to `base`) imports, `import type` included, and which rules that breaks. */
export async function importsOf(files: readonly string[], base: string, options: ICruiseOptions): Promise<ICruiseResult> {
  const { output } = await cruise([...files], { ...options, baseDir: base });
  if (typeof output === 'string') throw new TypeError('expected the result as an object');
  return output;
}
