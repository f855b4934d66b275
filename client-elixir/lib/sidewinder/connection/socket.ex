defmodule Sidewinder.Connection.Socket do
  @moduledoc """
  The socket of a connection: unix, TCP or TLS, behind one face.

  Reading is by message: 64 reads at a time where the kernel's socket is ours, one at a time where TLS stands between.
  Writing blocks, bounded by `send_timeout`; nobody but the connection waits for it, because callers have their own clocks.
  """

  @reads 64
  @buffer 65_536
  @write_buffer 262_144

  defstruct [:kind, :socket]

  @type t :: %__MODULE__{kind: :plain | :tls, socket: term}
  @type address ::
          {:unix, Path.t()} | {:tcp, host, port_number} | {:tls, host, port_number, keyword}
  @type host :: String.t() | :inet.ip_address()
  @type port_number :: 1..65_535

  @doc "Connects, within so many milliseconds."
  @spec connect(address, timeout_ms :: pos_integer, send_timeout_ms :: pos_integer) ::
          {:ok, t} | {:error, String.t()}
  def connect({:unix, path} = address, timeout, send_timeout),
    do: tcp(address, {:local, path}, 0, options(send_timeout), timeout)

  def connect({:tcp, host, port} = address, timeout, send_timeout) do
    {host, family} = host(host)
    tcp(address, host, port, family ++ [nodelay: true, keepalive: true] ++ options(send_timeout), timeout)
  end

  def connect({:tls, host, port, given} = address, timeout, send_timeout) do
    {to, family} = host(host)
    options = family ++ [nodelay: true, keepalive: true] ++ options(send_timeout) ++ tls(host, given)

    with {:ok, socket} <- :ssl.connect(to, port, options, timeout),
         {:ok, "h2"} <- negotiated(socket) do
      {:ok, %__MODULE__{kind: :tls, socket: socket}}
    else
      {:error, why} -> {:error, "#{show(address)}: #{reason(why)}"}
    end
  end

  defp tcp(address, to, port, options, timeout) do
    case :gen_tcp.connect(to, port, options, timeout) do
      {:ok, socket} -> {:ok, %__MODULE__{kind: :plain, socket: socket}}
      {:error, why} -> {:error, "#{show(address)}: #{reason(why)}"}
    end
  end

  defp negotiated(socket) do
    case :ssl.negotiated_protocol(socket) do
      {:ok, "h2"} ->
        {:ok, "h2"}

      _ ->
        :ssl.close(socket)
        {:error, "the server did not agree on h2 (ALPN)"}
    end
  end

  defp options(send_timeout) do
    [
      :binary,
      active: false,
      packet: :raw,
      buffer: @buffer,
      high_watermark: @write_buffer,
      low_watermark: div(@write_buffer, 2),
      send_timeout: send_timeout,
      send_timeout_close: true
    ]
  end

  defp host(host) when is_tuple(host), do: {host, if(tuple_size(host) == 8, do: [:inet6], else: [])}

  defp host(host) do
    name = String.to_charlist(host)

    case :inet.parse_address(name) do
      {:ok, address} -> host(address)
      {:error, _} -> {name, []}
    end
  end

  # Whoever says nothing about trust trusts what the machine trusts.
  defp tls(host, given) do
    trust =
      if Keyword.has_key?(given, :verify) or Keyword.has_key?(given, :cacerts) or
           Keyword.has_key?(given, :cacertfile),
         do: [verify: :verify_peer],
         else: [verify: :verify_peer, cacerts: :public_key.cacerts_get()]

    name = if is_binary(host), do: [server_name_indication: String.to_charlist(host)], else: []
    match = [customize_hostname_check: [match_fun: :public_key.pkix_verify_hostname_match_fun(:https)]]
    alpn = [alpn_advertised_protocols: ["h2"], versions: [:"tlsv1.2", :"tlsv1.3"]]
    (trust ++ name ++ match ++ alpn) |> Keyword.merge(given)
  end

  @doc "From now on what is read comes as messages."
  @spec listen(t) :: :ok | {:error, term}
  def listen(%{kind: :plain, socket: socket}), do: :inet.setopts(socket, active: @reads)
  def listen(%{kind: :tls, socket: socket}), do: :ssl.setopts(socket, active: :once)

  @doc "Writes everything, or fails."
  @spec send(t, iodata) :: :ok | {:error, term}
  def send(%{kind: :plain, socket: socket}, bytes), do: :gen_tcp.send(socket, bytes)
  def send(%{kind: :tls, socket: socket}, bytes), do: :ssl.send(socket, bytes)

  @spec close(t) :: :ok
  def close(%{kind: :plain, socket: socket}), do: :gen_tcp.close(socket)

  def close(%{kind: :tls, socket: socket}) do
    _ = :ssl.close(socket)
    :ok
  end

  @doc "The scheme and the authority that requests to an address carry."
  @spec place(address) :: {binary, binary}
  def place({:unix, _}), do: {"http", "localhost"}
  def place({:tcp, host, port}), do: {"http", authority(host, port)}
  def place({:tls, host, port, opts}), do: {"https", authority(name(opts) || host, port)}

  defp name(opts) do
    case opts[:server_name_indication] do
      name when is_list(name) -> List.to_string(name)
      _ -> nil
    end
  end

  defp authority(host, port) when is_tuple(host) and tuple_size(host) == 8,
    do: "[#{:inet.ntoa(host)}]:#{port}"

  defp authority(host, port) when is_tuple(host), do: "#{:inet.ntoa(host)}:#{port}"
  defp authority(host, port), do: "#{host}:#{port}"

  @doc "An address for people."
  @spec show(address) :: String.t()
  def show({:unix, path}), do: "unix:#{path}"
  def show(address), do: address |> place() |> elem(1)

  @doc "Why a socket failed, for people."
  @spec reason(term) :: String.t()
  def reason(why) when is_binary(why), do: why
  def reason(:closed), do: "the connection was closed"
  def reason(:timeout), do: "timed out"
  def reason({:tls_alert, {kind, text}}), do: "TLS: #{kind}: #{text}"

  def reason(why) when is_atom(why) do
    text = why |> :inet.format_error() |> List.to_string()
    if text =~ "unknown POSIX error", do: inspect(why), else: text
  end

  def reason(why), do: inspect(why)
end
