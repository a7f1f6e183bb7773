DROP VIEW silences_tenant, alert_history_tenant, alerts_tenant;
DROP TABLE notifications, notification_settings, silences, alert_history, alerts;
