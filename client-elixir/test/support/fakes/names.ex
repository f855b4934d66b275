defmodule Sidewinder.Names do
  @moduledoc "A name server on the loopback whose records the test changes."

  @doc "Starts with records, `{name, kind, data}`; gives what `dns:` takes, and a handle for `set/2`."
  def start(records) do
    {:ok, table} = Agent.start_link(fn -> records end)
    {:ok, socket} = :gen_udp.open(0, [:binary, active: false, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(socket)
    server = spawn_link(fn -> serve(socket, table) end)
    :ok = :gen_udp.controlling_process(socket, server)
    {[nameservers: [{{127, 0, 0, 1}, port}], timeout: 500, retry: 2], table}
  end

  def set(table, records), do: Agent.update(table, fn _ -> records end)

  defp serve(socket, table) do
    {:ok, {host, port, question}} = :gen_udp.recv(socket, 0)
    :ok = :gen_udp.send(socket, host, port, answer(question, Agent.get(table, & &1)))
    serve(socket, table)
  end

  # The question is sent back with the records behind it, none of which may be kept.
  defp answer(<<id::16, _::16, 1::16, _::48, rest::binary>> = question, records) do
    {:ok, message} = :inet_dns.decode(question)
    [asked] = :inet_dns.msg(message, :qdlist)
    name = :inet_dns.dns_query(asked, :domain)
    kind = :inet_dns.dns_query(asked, :type)
    data = for {^name, ^kind, data} <- records, do: data
    size = byte_size(label(name)) + 4
    <<body::binary-size(size), _::binary>> = rest
    code = if data == [], do: 3, else: 0
    answers = for data <- data, into: <<>>, do: record(kind, data)
    <<id::16, 0x8180 + code::16, 1::16, length(data)::16, 0::32, body::binary, answers::binary>>
  end

  defp record(kind, data) do
    {number, data} = encoded(kind, data)
    <<0xC00C::16, number::16, 1::16, 0::32, byte_size(data)::16, data::binary>>
  end

  defp encoded(:a, {a, b, c, d}), do: {1, <<a, b, c, d>>}

  defp encoded(:srv, {priority, weight, port, target}),
    do: {33, <<priority::16, weight::16, port::16, label(target)::binary>>}

  defp label(name) do
    parts = name |> List.to_string() |> String.split(".")
    for(part <- parts, into: <<>>, do: <<byte_size(part), part::binary>>) <> <<0>>
  end
end
