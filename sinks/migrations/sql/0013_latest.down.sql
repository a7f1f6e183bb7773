DROP VIEW latest_tenant;
