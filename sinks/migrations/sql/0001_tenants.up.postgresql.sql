INSERT INTO storage (mode) VALUES ('postgresql');
