DROP VIEW definitions_tenant;
DROP TABLE definitions;
DROP FUNCTION definition_changed();
